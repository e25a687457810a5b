#include "apps/inspect/pictures.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "apps/common/config_options.h"
#include "apps/common/program.h"
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
  sub->add_option("--checkpoint", words.options.checkpoint, "weights from pretrain: a file, or a run's folder")
      ->required();
  sub->add_option("--vocabulary", words.options.vocabulary, "merges file; default: the checkpoint's own");
  sub->add_option("--out", words.options.out, "file to draw, .svg or .png")->required();
  return sub;
}

CLI::Option* add_image(CLI::App& sub, rils::PictureOptions& options) {
  sub.add_option("--image", options.image, "image file")->required();
  return sub.add_option("--sentences", options.sentences,
                        "one or more sentences; @FILE stands for the lines of a file");
}

void add_overview(CLI::App& sub, rils::OverviewOptions& o, std::string& out) {
  sub.add_option("run", o.run, "folder of the run, logs/NAME")->required();
  sub.add_option("--compare", o.compare, "runs whose curves are drawn too");
  sub.add_option("--checkpoint", o.checkpoint, "weights from pretrain; default: the latest of the run");
  sub.add_option("--vocabulary", o.vocabulary, "merges file; default: the checkpoint's own");
  sub.add_option("--data", o.data, "images with captions; default: the run's validation data");
  sub.add_option("--sentences", o.sentences, "sentences to find images for, or @FILE; default: captions of the data");
  sub.add_option("--nouns", o.nouns, "two nouns, such as \"a dog\" \"a bus\"; default: two objects of a scene");
  sub.add_option("--image", o.image, "image file for the maps; default: a scene of the data");
  sub.add_option("--seed", o.seed, "seed of the mask");
  sub.add_option("--out", out, "file to draw, .svg or .png; default: pictures/sheet.svg in the run's folder");
}

void add_report(CLI::App& sub, rils::ReportOptions& o) {
  sub.add_option("run", o.run, "folder of the run, logs/NAME")->required();
  sub.add_option("--compare", o.compare, "pre-training runs to compare with");
  sub.add_option("--classifiers", o.classifiers, "runs of finetune from these runs' checkpoints or from scratch");
}

}  // namespace

std::function<int()> add_picture_commands(CLI::App& app) {
  const auto words = std::make_shared<Words>();
  rils::PictureOptions& o = words->options;
  CLI::App* heat = add(app, *words, "heatmap", "draws a heat map of each sentence over an image");
  add_image(*heat, o)->required();
  number(heat->add_option("--temperature", o.temperature, "temperature of the softmax; 0: the teacher's"), false);
  CLI::App* hidden = add(app, *words, "reconstruction", "draws what the decoder predicts for hidden patches");
  (void)add_image(*hidden, o);  // not required: a pixel decoder needs no sentences
  hidden->add_option("--seed", o.seed, "seed of the mask");
  CLI::App* found = add(app, *words, "retrievals", "draws the best and worst retrievals");
  found->add_option("--data", o.data, "images with captions")->required();
  whole_number(found->add_option("--count", o.count, "number of best and of worst ones"), 1, 50);
  CLI::App* data = app.add_subcommand("data", "prints counts, duplicates, overlap and reading rate of a data set");
  const auto config = std::make_shared<ConfigOptions>(*data, rils::Program::inspect_data);
  data->add_option("--montage", o.out, "file to draw some samples to, .svg or .png");
  CLI::App* curves = app.add_subcommand("curves", "draws losses, gate and accuracy of one or several runs");
  curves->add_option("runs", words->runs, "folders of runs, logs/NAME")->required();
  curves->add_option("--out", o.out, "file to draw, .svg or .png")->required();
  CLI::App* sheet = app.add_subcommand("sheet", "draws an overview of a run");
  add_overview(*sheet, words->overview, o.out);
  CLI::App* report = app.add_subcommand("report", "writes an HTML page about a run");
  add_report(*report, words->report);
  report->add_option("--out", words->report.out, "HTML file; default: report.html in the run's folder");
  CLI::App* results = app.add_subcommand("results", "prints a table of the results of evaluate and finetune");
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
