#include "apps/inspect/pictures.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "apps/common/config_options.h"
#include "rils/picture/commands.h"

namespace tessera::apps {
namespace {

struct Words {
  rils::PictureOptions options;
  std::vector<std::string> runs;
  std::string run;
};

CLI::App* add(CLI::App& app, Words& words, const char* name, const char* help) {
  CLI::App* sub = app.add_subcommand(name, help);
  sub->add_option("--checkpoint", words.options.checkpoint, "weights of pretrain")->required();
  sub->add_option("--vocabulary", words.options.vocabulary, "merges file; the checkpoint's own by default");
  sub->add_option("--out", words.options.out, "drawing, .svg or .png")->required();
  return sub;
}

CLI::Option* add_image(CLI::App& sub, rils::PictureOptions& options) {
  sub.add_option("--image", options.image, "a picture")->required();
  return sub.add_option("--sentences", options.sentences, "one or more; @FILE: a line each");
}

}  // namespace

std::function<int()> add_picture_commands(CLI::App& app) {
  const auto words = std::make_shared<Words>();
  rils::PictureOptions& o = words->options;
  CLI::App* heat = add(app, *words, "heatmap", "where sentences are in an image, by patch");
  add_image(*heat, o)->required();
  heat->add_option("--temperature", o.temperature, "of the maps; 0: the teacher's");
  CLI::App* hidden = add(app, *words, "reconstruction", "what the model expects behind hidden patches");
  (void)add_image(*hidden, o);  // not where pixels are predicted
  hidden->add_option("--seed", o.seed, "of the mask");
  CLI::App* found = add(app, *words, "retrievals", "best and worst answers to captions");
  found->add_option("--data", o.data, "images and captions")->required();
  found->add_option("--count", o.count, "of each")->check(CLI::Range(1, 50));
  CLI::App* data = app.add_subcommand("data", "what a data set is: counts, duplicates, overlap, rate");
  const auto config = std::make_shared<ConfigOptions>(*data);
  data->add_option("--montage", o.out, "a drawing of some samples, .svg or .png");
  CLI::App* curves = app.add_subcommand("curves", "losses, gate and accuracy of one run or several");
  curves->add_option("runs", words->runs, "folders logs/NAME")->required();
  curves->add_option("--out", o.out, "drawing, .svg or .png")->required();
  CLI::App* report = app.add_subcommand("report", "one HTML page of a run");
  report->add_option("run", words->run, "folder logs/NAME")->required();
  report->add_option("--out", o.out, "HTML file; report.html in the folder by default");
  return [=] {
    if (*heat) return draw_heat_maps(words->options);
    if (*hidden) return draw_reconstruction(words->options);
    if (*found) return draw_retrievals(words->options);
    if (*data) return inspect_data(config->resolve(), words->options.out);
    if (*curves) return rils::draw_curves(words->runs, words->options.out);
    return *report ? rils::write_report(words->run, words->options.out) : -1;
  };
}

}  // namespace tessera::apps
