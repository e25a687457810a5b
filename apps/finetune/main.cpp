#include <CLI/CLI.hpp>

#include "apps/common/config_options.h"
#include "apps/common/program.h"
#include "rils/finetune/finetune.h"

int main(int argc, char** argv) {
  using namespace tessera;
  CLI::App app("Trains an image classifier from a pre-trained encoder or from scratch, or probes frozen features.");
  apps::set_up(app);
  rils::FinetuningOptions options;
  app.option_defaults()->group("Start");
  app.add_option("--resume", options.resume, "continue a run: latest (of --name), its folder or a checkpoint")
      ->type_name("WHAT");
  app.add_flag("--eval", options.eval, "evaluate the run that --resume names on the validation images");
  const apps::ConfigOptions config(app, rils::Program::finetune);
  return apps::run(app, argc, argv, [&] {
    options.command = apps::command_line(argc, argv);
    return run_finetuning(options.resume.empty() ? config.resolve() : config.resolve_resumed(options.resume), options);
  });
}
