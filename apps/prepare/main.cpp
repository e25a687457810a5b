#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>

#include "apps/common/program.h"
#include "rils/prepare/default_data.h"
#include "rils/prepare/folder_command.h"
#include "rils/prepare/shards_command.h"
#include "rils/prepare/vocabulary_command.h"
#include "rils/run/progress.h"

int main(int argc, char** argv) {
  using namespace tessera;
  CLI::App app("Makes data sets and vocabularies.");
  apps::set_up(app);
  app.require_subcommand(1);

  auto* scenes = app.add_subcommand("default", "scenes of clip art and emoji, single things, Fashion-MNIST");
  rils::DefaultDataOptions d;
  scenes->add_option("--out", d.out, "folder")->required();
  scenes->add_option("--assets", d.assets, "where fetch_assets.sh put the packages");
  scenes->add_option("--train-scenes", d.train_scenes, "how many");
  scenes->add_option("--test-scenes", d.test_scenes, "how many");
  scenes->add_option("--image-size", d.image_size, "pixels");
  scenes->add_option("--seed", d.seed, "of the scenes");

  auto* captions = app.add_subcommand("captions", "images and a table of captions to shards");
  rils::PrepareCaptionsOptions c;
  captions->add_option("--table", c.table, "CSV or TSV")->required();
  captions->add_option("--csv-img-key", c.columns.image_column, "column of image paths, by name or number");
  captions->add_option("--csv-caption-key", c.columns.caption_column, "column of captions, by name or number");
  captions->add_option("--csv-separator", c.columns.separator, "empty: detected");
  captions->add_option("--image-root", c.columns.image_root, "of the paths; the table's folder by default");
  captions->add_option("--hold-out", c.hold_out, "images kept for validation, by the hash of their names");
  captions->add_option("--samples-per-shard", c.samples_per_shard, "images");
  captions->add_option("--out", c.output, "folder")->required();

  auto* folder = app.add_subcommand("folder", "class folders to shards");
  rils::PrepareFolderOptions f;
  folder->add_option("--input", f.input, "class folders, or train/ and test/ that hold them")->required();
  folder->add_option("--out", f.output, "folder")->required();

  auto* vocabulary = app.add_subcommand("vocabulary", "learns a byte-level BPE from captions, or takes CLIP's");
  rils::PrepareVocabularyOptions v;
  vocabulary->add_option("--captions", v.captions, "text file, shards, table or folder to learn from");
  vocabulary->add_option("--size", v.size, "ids to learn");
  vocabulary->add_flag("--clip", v.clip, "CLIP's own vocabulary instead, from the PyPI package open_clip_torch");
  vocabulary->add_option("--package", v.package, "its wheel or folder; empty: pip downloads it");
  vocabulary->add_option("--out", v.output, "merges file")->required();

  return apps::run(app, argc, argv, [&] {
    rils::StageProgress progress;
    if (*scenes) std::cout << prepare_default(d, std::ref(progress)).describe();
    if (*captions) std::cout << prepare_captions(c).describe() << '\n';
    if (*folder) std::cout << prepare_folder(f).describe() << '\n';
    const int64_t ids = *vocabulary ? prepare_vocabulary(v) : 0;
    if (*vocabulary) std::cout << v.output << ": " << ids << " ids\n";
    return 0;
  });
}
