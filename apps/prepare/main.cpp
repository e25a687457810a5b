#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>

#include "apps/common/program.h"
#include "engine/core/printable.h"
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
  auto* scenes = app.add_subcommand("default", "makes the default data: scenes of clip art, objects, Fashion-MNIST");
  rils::DefaultDataOptions d;
  scenes->add_option("--out", d.out, "folder to write")->required();
  scenes->add_option("--assets", d.assets, "folder of the Debian packages, installed or unpacked by fetch_assets.sh");
  scenes->add_option("--train-scenes", d.train_scenes, "number of train scenes");
  scenes->add_option("--test-scenes", d.test_scenes, "number of test scenes");
  scenes->add_option("--image-size", d.image_size, "pixels a side");
  scenes->add_option("--seed", d.seed, "seed of the scenes");

  auto* captions = app.add_subcommand("captions", "writes images and a table of captions as webdataset shards");
  rils::PrepareCaptionsOptions c;
  captions->add_option("--table", c.table, "CSV or TSV file")->required();
  captions->add_option("--csv-img-key", c.columns.image_column, "column of image paths: name, or number from 1");
  captions->add_option("--csv-caption-key", c.columns.caption_column, "column of captions: name, or number from 1");
  captions->add_option("--csv-separator", c.columns.separator, "character between columns; empty: detected");
  captions->add_option("--text-encoding", c.text_encoding, "encoding of captions that are not UTF-8: windows-1252");
  captions->add_option("--image-root", c.columns.image_root, "folder of relative image paths; empty: the table's");
  captions->add_option("--hold-out", c.hold_out, "number of images for val/, chosen by the hash of their names");
  captions->add_option("--samples-per-shard", c.samples_per_shard, "images in a shard");
  captions->add_option("--out", c.output, "folder to write")->required();

  auto* folder = app.add_subcommand("folder", "writes class folders as webdataset shards");
  rils::PrepareFolderOptions f;
  folder->add_option("--input", f.input, "class folders, or train/, val/ and test/ with such folders")->required();
  folder->add_option("--out", f.output, "folder to write")->required();

  auto* vocabulary = app.add_subcommand("vocabulary", "learns a byte-level BPE from captions, or copies CLIP's");
  rils::PrepareVocabularyOptions v;
  vocabulary->add_option("--captions", v.captions, "captions: text file with one a line, shards, table or folder");
  vocabulary->add_option("--size", v.size, "number of ids");
  vocabulary->add_flag("--clip", v.clip, "copies CLIP's vocabulary from the Python package open_clip_torch");
  vocabulary->add_option("--package", v.package, "wheel or folder of this package; empty: pip downloads it");
  vocabulary->add_option("--out", v.output, "merges file to write")->required();

  return apps::run(app, argc, argv, [&] {
    rils::StageProgress progress;
    if (*scenes) std::cout << prepare_default(d, std::ref(progress)).describe() << '\n';
    if (*captions) std::cout << prepare_captions(c, std::ref(progress)).describe() << '\n';
    if (*folder) std::cout << printable_lines(prepare_folder(f, std::ref(progress)).describe()) << '\n';
    if (*vocabulary) std::cout << v.output << ": " << prepare_vocabulary(v, std::ref(progress)).describe() << '\n';
    return 0;
  });
}
