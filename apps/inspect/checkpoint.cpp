#include "apps/inspect/checkpoint.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "rils/convert/convert.h"
#include "rils/inspect/inspect.h"

namespace tessera::apps {

std::function<void()> add_checkpoint_command(CLI::App& app) {
  struct Words {
    rils::ConvertOptions convert;
    std::string other;
  };
  const auto words = std::make_shared<Words>();
  rils::ConvertOptions& o = words->convert;
  rils::WeightsOptions& w = o.weights;
  CLI::App* sub = app.add_subcommand("checkpoint", "lists a safetensors file, compares two, or converts weights");
  sub->add_option("file", o.in,
                  "safetensors file, or a run's folder; with --convert also a folder of timm or open_clip")
      ->required();
  sub->add_option("--compare", words->other, "second file; prints the tensors that differ");
  CLI::Option* convert = sub->add_option("--convert", o.out, "file to write; for open_clip a folder, for timm either");
  sub->add_option("--to", o.to, "format to write: tessera, timm, mae or open_clip")->needs(convert);
  // Files of other programs may not say these.
  sub->add_option("--vocabulary", w.vocabulary, "merges file of the text encoder")->needs(convert);
  sub->add_option("--act", w.act, "activation: gelu or quick_gelu")->needs(convert);
  sub->add_option("--pool", w.pool, "pooling: mean or cls")->needs(convert);
  sub->add_option("--heads", w.heads, "heads of the image encoder; 0: by its width")->needs(convert);
  sub->add_option("--text-heads", w.text_heads, "heads of the text encoder; 0: by its width")->needs(convert);
  sub->add_option("--decoder-heads", w.decoder_heads, "heads of MAE's decoder; 0: 16")->needs(convert);
  sub->add_option("--preprocessing", w.preprocessing, "mean and std of the pixels: imagenet, inception or clip")
      ->needs(convert);
  convert->excludes("--compare");
  return [=] {
    if (!*sub) return;
    if (words->convert.out.empty()) {
      rils::inspect_checkpoint(words->convert.in, words->other, std::cout);
    } else {
      rils::convert_weights(words->convert, std::cout);
    }
  };
}

}  // namespace tessera::apps
