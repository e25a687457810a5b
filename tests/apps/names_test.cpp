// Names of options and subcommands, known and unknown, and the numbers that options take.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "rils/config/schema.h"
#include "rils/inspect/inspect.h"
#include "tests/apps/typed.h"

namespace tessera::apps {
namespace {

TEST(Errors, KnowTheOptionsOfOtherPrograms) {
  const auto said = [](const char* option, rils::Program program = rils::Program::pretrain) {
    const Outcome o = train({option, "1"}, program);
    EXPECT_EQ(o.code, 2) << option;
    EXPECT_EQ(std::ranges::count(o.err, '\n'), 1) << o.err;
    const std::string begin = fmt::format("error: unknown option {}", option);
    EXPECT_TRUE(o.err.starts_with(begin)) << o.err;
    return o.err.substr(std::min(begin.size(), o.err.size()));
  };
  const auto finetune = rils::Program::finetune;
  EXPECT_EQ(said("--imagenet-val"), "; use --zeroshot-data: labelled images of any kind\n");
  EXPECT_EQ(said("--blr"), "; use --lr: the rate itself: blr x global batch / 256\n");
  EXPECT_EQ(said("--warmup-epochs"), "; use --warmup: in steps; -1 is one epoch\n");
  EXPECT_EQ(said("--warmup", finetune), "; use --warmup-epochs\n");
  EXPECT_EQ(said("--data-path"), "; use --train-data\n");
  EXPECT_EQ(said("--train-data", finetune), "; use --data-path: a folder with train/ and val/\n");
  EXPECT_EQ(said("--delete-previous-checkpoint"), "; use --keep 1\n");
  EXPECT_EQ(said("--model"), "; use --config FILE: sizes are keys of it, apps/configs has published ones\n");
  EXPECT_EQ(said("--norm-pix-loss"), "; use --objective mae: it always compares pixels that are normalised by patch\n");
  EXPECT_EQ(said("--fsdp-checkpoint"),
            ": a run is one process on one device; pretrain --simulated-ranks computes the loss of several\n");
  EXPECT_EQ(said("-b"), "; use --batch-size\n");
  EXPECT_EQ(said("--mask-ratio", finetune), "; it belongs to pretrain\n");
  EXPECT_EQ(said("--mixup"), "; it belongs to finetune\n");
  EXPECT_EQ(said("--embed-dim"), "; use --set model.embed_dim=N\n");
  EXPECT_EQ(said("--width"),
            "; use --set model.vision.width=N or --set model.decoder.width=N or --set model.text.width=N\n");
}

TEST(InspectOptions, ListWhatIsReadAndTakeTheRest) {
  for (const rils::Program program : {rils::Program::inspect_model, rils::Program::inspect_data}) {
    const Outcome help = train({"--help"}, program);
    for (const rils::Key& key : rils::schema()) {
      if (key.level == rils::Level::set_only || !serves(key, rils::Program::pretrain)) continue;
      std::string name = "  --" + std::string(key.name()) + " ";
      std::ranges::replace(name, '_', '-');
      EXPECT_EQ(help.out.find(name) != std::string::npos, serves(key, program)) << name << help.out;
    }
    EXPECT_EQ(help.out.find("--local-loss"), std::string::npos);
    const Outcome same = train({"--lr", "0.5", "--save-frequency", "3", "--gather-with-grad"}, program);
    ASSERT_EQ(same.code, 0) << "the command line of pretrain: " << same.err;
    EXPECT_EQ(same.config->optim.lr, 0.5);
  }
}

/// Gives a key another value.
void change(const rils::Key& key, rils::Config& config) {
  const rils::Field field = key.field(config);
  if (const auto* v = std::get_if<bool*>(&field)) **v = !**v;
  if (const auto* v = std::get_if<int64_t*>(&field)) **v += 1000;
  if (const auto* v = std::get_if<double*>(&field)) **v = 0.5 * **v + 1e-3;
  if (const auto* v = std::get_if<std::string*>(&field)) **v = key.choices.empty() ? "other" : key.choices.back().name;
  if (const auto* v = std::get_if<rils::ChoiceField>(&field)) *v->index = *v->index == 0 ? 1 : 0;
  if (const auto* v = std::get_if<std::span<double>>(&field)) (*v)[0] += 0.01;
}

TEST(InspectOptions, ModelReadsThoseThatItListsAndNoOthers) {
  const auto shown = [](const rils::Config& config) {
    std::ostringstream out;
    rils::inspect_model(config, out);
    return out.str();
  };
  for (const rils::Key& key : rils::schema()) {
    if (key.level == rils::Level::set_only || key.path == "data.vocabulary") continue;
    bool matters = false;
    for (const auto objective : {rils::ObjectiveName::rils, rils::ObjectiveName::slip, rils::ObjectiveName::mae}) {
      rils::Config config;
      config.model.objective = objective;
      const std::string before = shown(config);
      change(key, config);
      matters = matters || shown(config) != before;
    }
    EXPECT_EQ(matters, serves(key, rils::Program::inspect_model)) << key.path;
  }
}

TEST(Numbers, AreCheckedInOneForm) {
  const auto with = [](const char* option, const char* word) {
    CLI::App app("Counts.");
    set_up(app);
    int64_t k = 20, count = 3;
    double temperature = 0.07, other = 0;
    whole_number(app.add_option("--k", k, "neighbours"), 1);
    whole_number(app.add_option("--count", count, "pictures"), 1, 50);
    number(app.add_option("--temperature", temperature, "temperature"), true);
    number(app.add_option("--other", other, "temperature"), false);
    std::string letter = "a";
    app.add_option("--word", letter, "a word")->check(CLI::IsMember({"a", "b"}));
    return typed({option, word}, app, [](Outcome&) { return 0; });
  };
  const std::string help = " (--help lists the options)\n";
  EXPECT_EQ(with("--k", "9223372036854775807").code, 0);
  EXPECT_EQ(with("--k", "0").err, "error: --k: expected an integer of at least 1, found 0" + help);
  EXPECT_EQ(with("--k", "-1").err, "error: --k: expected an integer of at least 1, found -1" + help);
  EXPECT_EQ(with("--k", "1.5").err, "error: --k: expected an integer of at least 1, found \"1.5\"" + help);
  EXPECT_EQ(with("--k", "x").err, "error: --k: expected an integer of at least 1, found \"x\"" + help);
  EXPECT_EQ(with("--k", "99999999999999999999").code, 2);
  EXPECT_EQ(with("--count", "51").err, "error: --count: expected an integer in [1, 50], found 51" + help);
  EXPECT_EQ(with("--temperature", "0").err, "error: --temperature: expected a number above 0, found 0" + help);
  EXPECT_EQ(with("--temperature", "nan").err, "error: --temperature: expected a number above 0, found nan" + help);
  EXPECT_EQ(with("--temperature", "1e-3").code, 0);
  EXPECT_EQ(with("--other", "0").code, 0);
  EXPECT_EQ(with("--word", "c").err, "error: --word: expected one of a,b, found c" + help);
}

TEST(Subcommands, KnowTheirOwnOptionsOnly) {
  const auto inspect = [](const std::vector<const char*>& words) {
    CLI::App app("Looks.");
    set_up(app);
    app.require_subcommand(1);
    int64_t k = 20;
    CLI::App* knn = app.add_subcommand("knn", "neighbours");
    knn->add_option("--k", k, "neighbours")->type_name("N");
    app.add_subcommand("other", "nothing");
    return typed(words, app, [&](Outcome&) { return static_cast<int>(k); });
  };
  EXPECT_EQ(inspect({"knn", "--k", "3"}).code, 3);
  EXPECT_EQ(inspect({"knn", "--k", "x"}).err, "error: --k: expected a number, found x (--help lists the options)\n");
  EXPECT_EQ(inspect({"other", "--k", "3"}).err, "error: unknown option --k; it belongs to knn\n");
  EXPECT_EQ(inspect({"--k", "3", "knn"}).err, "error: unknown option --k before the subcommand; write it behind\n");
  EXPECT_EQ(inspect({}).code, 2);
  EXPECT_EQ(inspect({}).err, "error: expected a subcommand, found none: knn, other\n");
  EXPECT_EQ(inspect({"othr"}).err, "error: unknown subcommand othr; did you mean other?\n");
  EXPECT_EQ(inspect({"sheet"}).err, "error: unknown subcommand sheet; expected knn, other\n");
  EXPECT_EQ(inspect({"linear_probe"}).err,
            "error: unknown subcommand linear_probe: finetune --linear probes frozen features\n");
  for (const char* help : {"-h", "--help"}) {
    EXPECT_EQ(inspect({help}).code, 0);
    EXPECT_NE(inspect({"knn", help}).out.find("-h, --help "), std::string::npos);
  }
  EXPECT_NE(inspect({"knn", "--help"}).out.find("[20]"), std::string::npos) << "defaults are shown";
}

}  // namespace
}  // namespace tessera::apps
