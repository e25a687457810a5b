#include <CLI/CLI.hpp>

#include "apps/common/program.h"
#include "rils/eval/evaluate.h"

namespace {

using tessera::rils::EvaluateOptions;

void add_common(CLI::App& app, EvaluateOptions& o) {
  app.add_option("--checkpoint,--pretrained", o.checkpoint, "weights of pretrain")->required();
  app.add_option("--data,--dataset-root", o.data, "test images: shards, table, folder or IDX")->required();
  app.add_option("--dataset-type", o.dataset_type, "auto, webdataset, files, csv, idx, folder");
  app.add_option("--dataset", o.dataset_name, "name for the results");
  app.add_option("--vocabulary", o.vocabulary, "merges file; the checkpoint's own by default");
  app.add_option("--batch-size", o.batch_size, "images at once; the figures do not depend on it");
  app.add_option("--precision", o.precision, "fp32 or amp_bf16");
  app.add_option("--output", o.output, "JSON file in CLIP_benchmark's form");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Evaluates a checkpoint: prints a table and writes CLIP_benchmark's JSON.");
  tessera::apps::set_up(app);
  app.require_subcommand(1);
  EvaluateOptions o;
  auto* retrieval = app.add_subcommand("retrieval", "images and captions, both ways");
  auto* zero_shot = app.add_subcommand("zero-shot", "labelled images against class names");
  auto* knn = app.add_subcommand("knn", "nearest neighbours of labelled images");
  auto* pointing = app.add_subcommand("pointing", "how much of a name's heat map lies in its box");
  for (CLI::App* sub : {retrieval, zero_shot, knn, pointing}) {
    add_common(*sub, o);
    const bool pixels = sub == knn;
    sub->add_option("--features", o.features, pixels ? "model, untrained or pixels" : "model or untrained")
        ->check(pixels ? CLI::IsMember({"model", "untrained", "pixels"}) : CLI::IsMember({"model", "untrained"}));
  }
  zero_shot->add_option("--classnames", o.classnames, "a line per class [classnames.txt beside the data]");
  zero_shot->add_option("--templates", o.templates, "a line per prompt, {c} for the class");
  knn->add_option("--train-data", o.train_data, "labelled images to compare with")->required();
  knn->add_option("--train-samples", o.train_samples, "of them, evenly spread; 0: all")->check(CLI::NonNegativeNumber);
  knn->add_option("--k", o.k, "neighbours");
  knn->add_option("--temperature", o.temperature, "of the votes");
  pointing->add_option("--pattern", o.pattern, "the sentence of a name, {c}");
  return tessera::apps::run(app, argc, argv, [&] {
    o.command = tessera::apps::command_line(argc, argv);
    if (*retrieval) return evaluate_retrieval(o);
    if (*zero_shot) return evaluate_zero_shot(o);
    return *knn ? evaluate_knn(o) : evaluate_pointing(o);
  });
}
