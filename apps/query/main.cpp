#include <CLI/CLI.hpp>

#include "apps/common/program.h"
#include "rils/query/query.h"

int main(int argc, char** argv) {
  using namespace tessera;
  CLI::App app("Uses a trained model: names what images show, finds images by text, exports embeddings.");
  apps::set_up(app);
  app.require_subcommand(1);
  rils::QueryOptions o;
  const auto add = [&](const char* name, const char* help) {
    CLI::App* sub = app.add_subcommand(name, help);
    sub->add_option("--checkpoint,--pretrained", o.checkpoint, "weights of pretrain; classify: also of finetune")
        ->required();
    sub->add_option("--vocabulary", o.vocabulary, "merges file; the checkpoint's own by default");
    sub->add_option("--batch-size", o.batch_size, "images at once; the answers do not depend on it")
        ->check(CLI::PositiveNumber);
    sub->add_option("--precision", o.precision, "fp32 or amp_bf16");
    return sub;
  };
  std::vector<std::string> images;
  std::string labels, templates, text, source;
  CLI::App* classify = add("classify", "the most probable labels of images");
  classify->add_option("images", images, "image files, or folders of them")->required();
  classify->add_option("--labels,--classnames", labels, "a class a line; a classifier of finetune has its own");
  classify->add_option("--templates", templates, "a prompt a line, {c} for the class");
  CLI::App* search = add("search", "the images nearest to a text");
  search->add_option("text", text, "what to look for")->required();
  search->add_option("source", source, "folder of images, an image, shards, table, or STEM.images.npy of embed")
      ->required();
  for (CLI::App* sub : {classify, search}) {
    sub->add_option("--top", o.top, "answers shown")->check(CLI::PositiveNumber);
    sub->add_option("--output", o.output, "JSON lines");
  }
  CLI::App* embed = add("embed", "embeddings of images and captions as .npy, with their names");
  embed->add_option("source", source, "folder of images, an image, shards, table, or a .txt with a text a line")
      ->required();
  embed->add_option("--out", o.output, "stem of the files")->required();
  for (CLI::App* sub : {search, embed}) {
    sub->add_option("--dataset-type", o.dataset_type, "auto, webdataset, files, csv, idx, folder (pictures below it)");
  }
  return apps::run(app, argc, argv, [&] {
    if (*classify) return query_classify(o, images, labels, templates);
    return *search ? query_search(o, text, source) : query_embed(o, source);
  });
}
