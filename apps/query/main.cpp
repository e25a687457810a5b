#include <CLI/CLI.hpp>

#include "apps/common/program.h"
#include "rils/query/query.h"

int main(int argc, char** argv) {
  using namespace tessera;
  CLI::App app("Uses a trained model: labels images, finds images by text, exports embeddings.");
  apps::set_up(app);
  app.require_subcommand(1);
  rils::QueryOptions o;
  std::string device = "auto";
  const auto add = [&](const char* name, const char* help,
                       const char* weights = "weights from pretrain: a file, or a run's folder") {
    CLI::App* sub = app.add_subcommand(name, help);
    sub->add_option("--checkpoint,--pretrained", o.checkpoint, weights)->required();
    sub->add_option("--vocabulary", o.vocabulary, "merges file; default: the one that the checkpoint names");
    sub->add_option("--batch-size", o.batch_size, "images per batch; the answers do not depend on it")
        ->check(CLI::PositiveNumber);
    sub->add_option("--precision", o.precision, "precision: fp32 or amp_bf16");
    apps::add_device_option(*sub, device);
    return sub;
  };
  std::vector<std::string> images;
  std::string labels, templates, text, source;
  CLI::App* classify = add("classify", "prints the most probable labels of images",
                           "weights from pretrain or finetune: a file, or a run's folder");
  classify->add_option("images", images, "image files, or folders with images")->required();
  classify->add_option("--labels,--classnames", labels,
                       "file with one class per line; not for a classifier of finetune");
  classify->add_option("--templates", templates, "file with one prompt per line, {c} for the class");
  CLI::App* search = add("search", "finds the images nearest to a text");
  search->add_option("text", text, "text to look for")->required();
  search->add_option("source", source, "an image, a folder of images, shards, a table, or STEM.images.npy from embed")
      ->required();
  for (CLI::App* sub : {classify, search}) {
    sub->add_option("--top", o.top, "number of answers shown")->check(CLI::PositiveNumber);
    sub->add_option("--output", o.output, "file of JSON lines, one per answer");
  }
  CLI::App* embed = add("embed", "writes embeddings of images and texts as .npy, and their names");
  embed->add_option("source", source, "an image, a folder of images, shards, a table, or a .txt with one text per line")
      ->required();
  embed
      ->add_option("--out", o.output,
                   "STEM of the files: STEM.images.npy, STEM.images.txt, STEM.texts.npy, STEM.texts.tsv")
      ->required();
  embed->add_option("--text-encoding", o.text_encoding, "encoding of captions that are not UTF-8: windows-1252");
  for (CLI::App* sub : {search, embed}) {
    sub->add_option("--dataset-type", o.dataset_type,
                    "auto, webdataset, files, csv, idx, or images (all images below a folder)");
  }
  return apps::run(app, argc, argv, [&] {
    o.device = apps::choose_device(device);
    if (*classify) return query_classify(o, images, labels, templates);
    return *search ? query_search(o, text, source) : query_embed(o, source);
  });
}
