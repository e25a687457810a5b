#include <CLI/CLI.hpp>

#include "apps/common/config_options.h"
#include "apps/common/program.h"
#include "rils/pretrain/pretrain.h"

int main(int argc, char** argv) {
  using namespace tessera;
  CLI::App app("Trains RILS, CLIP, SLIP, SimCLR or MAE from images and captions.");
  apps::set_up(app);
  rils::PretrainingOptions options;
  app.option_defaults()->group("Start");
  app.add_option("--resume", options.resume, "continue a run: latest (of --name), its folder or a checkpoint")
      ->type_name("WHAT");
  app.add_option("--pretrained", options.pretrained,
                 "start from these weights (a file, or a run's folder); print what did not match")
      ->type_name("FILE");
  app.add_flag("--dry-run", options.dry_run,
               "print plan, memory and the time of three steps; write nothing; plans what is left with --resume");
  app.add_flag("--overfit-batch", options.overfit_batch, "train on a single batch until it is learned: a first check");
  const apps::ConfigOptions config(app);
  return apps::run(app, argc, argv, [&] {
    options.command = apps::command_line(argc, argv);
    return run_pretraining(options.resume.empty() ? config.resolve() : config.resolve_resumed(options.resume), options);
  });
}
