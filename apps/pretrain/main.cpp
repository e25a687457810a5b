#include <CLI/CLI.hpp>

#include "apps/common/program.h"
#include "rils/train/pretraining.h"

int main(int argc, char** argv) {
  CLI::App app("Trains RILS, or CLIP as its baseline, from images and captions.");
  tessera::apps::ConfigOptions config(app);
  tessera::rils::PretrainingOptions options;
  app.add_option("--resume", options.resume, "go on with the run of --name: latest");
  app.add_option("--pretrained", options.pretrained, "start from these weights; lists what did not match");
  app.add_flag("--dry-run,--dry_run", options.dry_run, "plan, memory, three timed steps; writes nothing");
  app.add_flag("--overfit-batch,--overfit_batch", options.overfit_batch, "learn one batch: the first thing to try");
  return tessera::apps::run(app, argc, argv, [&] {
    options.command = tessera::apps::command_line(argc, argv);
    return tessera::rils::run_pretraining(config.resolve(), options);
  });
}
