#include <CLI/CLI.hpp>

#include "apps/common/program.h"
#include "rils/eval/evaluate.h"

namespace {

using tessera::rils::EvaluateOptions;

void add_common(CLI::App& app, EvaluateOptions& o, std::string& device) {
  app.add_option("--checkpoint,--pretrained", o.checkpoint, "weights from pretrain: a file, or a run's folder")
      ->required();
  app.add_option("--data,--dataset-root", o.data, "test images: shards, a table, a folder or IDX files")->required();
  app.add_option("--dataset-type", o.dataset_type, "data format: auto, webdataset, files, csv, idx, folder, images");
  app.add_option("--dataset", o.dataset_name, "name of the data set in the results");
  app.add_option("--vocabulary", o.vocabulary, "merges file; default: the one that the checkpoint names");
  app.add_option("--batch-size", o.batch_size, "images per batch; the results do not depend on it");
  app.add_option("--precision", o.precision, "precision: fp32 or amp_bf16");
  tessera::apps::add_device_option(app, device);
  app.add_option("--output", o.output, "JSON file in the format of CLIP_benchmark");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Evaluates a checkpoint: prints a table and writes CLIP_benchmark's JSON.");
  tessera::apps::set_up(app);
  app.require_subcommand(1);
  EvaluateOptions o;
  std::string device = "auto";
  auto* retrieval = app.add_subcommand("retrieval", "image-text retrieval in both directions");
  auto* zero_shot = app.add_subcommand("zero-shot", "zero-shot classification by class names");
  auto* knn = app.add_subcommand("knn", "nearest-neighbour classification");
  auto* pointing = app.add_subcommand("pointing", "pointing game and energy-based pointing game on scenes with boxes");
  for (CLI::App* sub : {retrieval, zero_shot, knn, pointing}) {
    add_common(*sub, o, device);
    const bool pixels = sub == knn;
    sub->add_option("--features", o.features,
                    pixels ? "model, untrained (initial values) or pixels" : "model or untrained (initial values)")
        ->check(pixels ? CLI::IsMember({"model", "untrained", "pixels"}) : CLI::IsMember({"model", "untrained"}));
  }
  retrieval->add_option("--text-encoding", o.text_encoding, "encoding of captions that are not UTF-8: windows-1252");
  zero_shot->add_option("--classnames", o.classnames,
                        "file with one class per line; default: classnames.txt beside the data");
  zero_shot->add_option("--templates", o.templates, "file with one prompt per line, {c} for the class");
  knn->add_option("--train-data", o.train_data, "labelled images that vote")->required();
  knn->add_option("--train-samples", o.train_samples, "number of training images used, evenly spread; 0: all")
      ->check(CLI::NonNegativeNumber);
  knn->add_option("--k", o.k, "number of neighbours");
  knn->add_option("--temperature", o.temperature, "temperature of the votes");
  pointing->add_option("--template,--pattern", o.sentence_template, "sentence for an object, {c} for its name");
  return tessera::apps::run(app, argc, argv, [&] {
    o.command = tessera::apps::command_line(argc, argv);
    o.device = tessera::apps::choose_device(device);
    if (*retrieval) return evaluate_retrieval(o);
    if (*zero_shot) return evaluate_zero_shot(o);
    return *knn ? evaluate_knn(o) : evaluate_pointing(o);
  });
}
