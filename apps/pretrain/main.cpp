#include <CLI/CLI.hpp>

#include "apps/common/config_options.h"
#include "apps/common/program.h"
#include "rils/pretrain/pretrain.h"

int main(int argc, char** argv) {
  using namespace tessera;
  CLI::App app("Trains RILS, or a method that it is compared with, from images and captions.");
  apps::set_up(app);
  rils::PretrainingOptions options;
  app.option_defaults()->group("Start");
  app.add_option("--resume", options.resume, "go on with a run: latest (of --name), its folder or weights file")
      ->type_name("WHAT");
  app.add_option("--pretrained", options.pretrained, "start from weights alone; lists what did not match")
      ->type_name("FILE");
  app.add_flag("--dry-run", options.dry_run, "plan, memory, three timed steps; writes nothing");
  app.add_flag("--overfit-batch", options.overfit_batch, "learn one batch: the first thing to try");
  const apps::ConfigOptions config(app);
  return apps::run(app, argc, argv, [&] {
    options.command = apps::command_line(argc, argv);
    return run_pretraining(options.resume.empty() ? config.resolve() : config.resolve_resumed(options.resume), options);
  });
}
