#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "apps/common/config_options.h"
#include "apps/common/program.h"
#include "apps/inspect/checkpoint.h"
#include "apps/inspect/pictures.h"
#include "rils/config/toml.h"
#include "rils/inspect/gradients.h"
#include "rils/inspect/inspect.h"
#include "rils/train/figures.h"

int main(int argc, char** argv) {
  using namespace tessera;
  CLI::App app("Shows models, gradients, tokens, checkpoints, data and runs.");
  apps::set_up(app);
  app.require_subcommand(1);

  auto* model = app.add_subcommand("model", "prints parameters, multiply-adds and memory of a model by part");
  apps::ConfigOptions config(*model, rils::Program::inspect_model);

  auto* gradients = app.add_subcommand("gradients", "writes the losses and all gradients of one batch");
  std::string config_file;
  std::string precision = "fp32";
  rils::GradientFiles files;
  gradients->add_option("--config", config_file, "TOML file with [model] and [loss]")->required();
  gradients->add_option("--checkpoint", files.checkpoint, "weights: a safetensors file, or a run's folder")->required();
  gradients
      ->add_option("--batch", files.batch, "inputs of the objective: images, tokens, noise, view1, view2 (safetensors)")
      ->required();
  gradients->add_option("--out", files.out, "file to write: losses and grad.NAME (safetensors)")->required();
  gradients->add_option("--precision", precision, "precision: fp32 or amp_bf16");
  std::string device = "auto";
  apps::add_device_option(*gradients, device);

  auto* tokens = app.add_subcommand("tokens", "prints the token ids of each line of standard input");
  rils::TokensOptions text;
  tokens->add_option("--vocabulary", text.vocabulary, "merges file, plain or gzipped")->required();
  apps::whole_number(tokens->add_option("--context-length", text.context_length, "length of a sequence in tokens"), 3,
                     65536);
  tokens->add_option("--truncation", text.truncation, "truncation of a long text: keep-eot or cut");

  const auto checkpoint = apps::add_checkpoint_command(app);
  const auto draw = apps::add_picture_commands(app);
  return apps::run(app, argc, argv, [&] {
    if (*model) rils::inspect_model(config.resolve(), std::cout);
    if (*tokens) rils::inspect_tokens(text, std::cin, std::cout);
    checkpoint();
    if (*gradients) {
      const Device where = apps::choose_device(device);
      const rils::Config c = rils::load_config(config_file);
      const auto r = rils::write_gradients(c.model, c.loss, files, nn::parse_precision(precision), where);
      std::cout << "loss " << r.loss << "  " << rils::terms_text(r, rils::terms_of(c.model.objective)) << '\n';
    }
    return std::max(draw(), 0);
  });
}
