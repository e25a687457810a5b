#include "apps/inspect/pictures.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "apps/common/config_options.h"
#include "rils/inspect/pictures.h"

namespace tessera::apps {
namespace {

struct Words {
  rils::PictureOptions options;
  std::vector<std::string> runs;
  rils::OverviewOptions overview;
  rils::ReportOptions report;
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

void add_overview(CLI::App& sub, rils::OverviewOptions& o, std::string& out) {
  sub.add_option("run", o.run, "folder logs/NAME")->required();
  sub.add_option("--compare", o.compare, "runs whose curves are drawn beside");
  sub.add_option("--checkpoint", o.checkpoint, "weights of pretrain; the run's latest by default");
  sub.add_option("--vocabulary", o.vocabulary, "merges file; the checkpoint's own by default");
  sub.add_option("--data", o.data, "images and captions; the run's validation data by default");
  sub.add_option("--sentences", o.sentences, "to find images of; @FILE: a line each; captions of the data by default");
  sub.add_option("--nouns", o.nouns, "two, as in: \"a dog\" \"a bus\"; things of a scene by default");
  sub.add_option("--image", o.image, "a picture for the maps; a scene of the data by default");
  sub.add_option("--seed", o.seed, "of the mask");
  sub.add_option("--out", out, "drawing, .svg or .png; pictures/sheet.svg in the folder by default");
}

void add_report(CLI::App& sub, rils::ReportOptions& o) {
  sub.add_option("run", o.run, "folder logs/NAME")->required();
  sub.add_option("--compare", o.compare, "pre-training runs to show beside it");
  sub.add_option("--classifiers", o.classifiers, "runs of finetune, from these runs' checkpoints or from scratch");
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
  CLI::App* sheet = app.add_subcommand("sheet", "the one drawing of a run to look at first");
  add_overview(*sheet, words->overview, o.out);
  CLI::App* report = app.add_subcommand("report", "one HTML page of a run");
  add_report(*report, words->report);
  report->add_option("--out", words->report.out, "HTML file; report.html in the folder by default");
  CLI::App* results = app.add_subcommand("results", "a table of what evaluate and finetune found of a run");
  add_report(*results, words->report);
  return [=] {
    if (*heat) return draw_heat_maps(words->options);
    if (*hidden) return draw_reconstruction(words->options);
    if (*found) return draw_retrievals(words->options);
    if (*data) return inspect_data(config->resolve(), words->options.out);
    if (*curves) return rils::draw_curves(words->runs, words->options.out);
    if (*sheet) return rils::draw_overview(words->overview, words->options.out);
    if (*results) return rils::print_results(words->report);
    return *report ? rils::write_report(words->report) : -1;
  };
}

}  // namespace tessera::apps
