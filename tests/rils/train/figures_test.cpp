// Figures of a step under their names, and what chance gives.
#include "rils/train/figures.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/rils/train/tiny_model.h"

namespace tessera::rils {
namespace {

const StepResult kResult{.loss = 10,
                         .clip_loss = 1.5,
                         .recon_loss = 2.5,
                         .mae_loss = 3.5,
                         .ssl_loss = 4.5,
                         .clip_accuracy = 0.25,
                         .logit_scale = 14,
                         .ssl_accuracy = 0.75};

TEST(LeadingTerm, HasTheChanceOfItsKind) {
  for (const int64_t n : {2, 64, 4096}) {
    const auto batch = static_cast<double>(n);
    for (const char* objective : {"rils", "clip", "slip", "mae+clip"}) {
      const LeadingTerm term = leading_term(kResult, test::objective_of(objective), n);
      EXPECT_EQ(term.name, "clip_loss") << objective;
      EXPECT_EQ(term.value, 1.5);
      EXPECT_DOUBLE_EQ(term.chance, std::log(batch));
    }
    const LeadingTerm views = leading_term(kResult, test::objective_of("simclr"), n);
    EXPECT_EQ(views.name, "ssl_loss");
    EXPECT_EQ(views.value, 4.5);
    EXPECT_DOUBLE_EQ(views.chance, std::log(2 * batch - 1)) << "one right among N others and N − 1 of its own kind";
    const LeadingTerm pixels = leading_term(kResult, test::objective_of("mae"), n);
    EXPECT_EQ(pixels.name, "mae_loss");
    EXPECT_EQ(pixels.value, 3.5);
    EXPECT_EQ(pixels.chance, 1.0);
  }
}

TEST(TermFigures, AreThoseOfTheObjective) {
  const auto text = [](const char* objective) {
    std::string all;
    const Record record = term_figures(kResult, test::objective_of(objective));
    for (const auto& [name, value] : record.figures()) all += name + " ";
    return all;
  };
  EXPECT_EQ(text("rils"), "clip_loss recon_loss clip_acc ");
  EXPECT_EQ(text("mae"), "mae_loss ");
  EXPECT_EQ(text("mae+clip"), "clip_loss recon_loss clip_acc mae_loss ");
  EXPECT_EQ(text("simclr"), "ssl_loss ssl_acc ");
  EXPECT_EQ(terms_text(kResult, test::objective_of("slip")),
            "clip 1.5000  recon 2.5000  acc 25.0 %  ssl 4.5000  acc 75.0 %");
}

}  // namespace
}  // namespace tessera::rils
