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
  CLI::App* sub =
      app.add_subcommand("checkpoint", "lists a safetensors file, compares two, converts from and to others");
  sub->add_option("file", o.in, "safetensors; to convert, also a folder of timm or open_clip")->required();
  sub->add_option("--compare", words->other, "another one");
  CLI::Option* convert =
      sub->add_option("--convert", o.out, "what to write: a file, or for timm and open_clip a folder");
  sub->add_option("--to", o.to, "whose names: tessera, timm, mae or open_clip")->needs(convert);
  // What the files of others do not say.
  sub->add_option("--vocabulary", w.vocabulary, "merges file of the text encoder")->needs(convert);
  sub->add_option("--act", w.act, "gelu or quick_gelu")->needs(convert);
  sub->add_option("--pool", w.pool, "mean or cls")->needs(convert);
  sub->add_option("--heads", w.heads, "of the image encoder; 0: by its width")->needs(convert);
  sub->add_option("--text-heads", w.text_heads, "of the text encoder; 0: by its width")->needs(convert);
  sub->add_option("--decoder-heads", w.decoder_heads, "of MAE's decoder; 0: 16")->needs(convert);
  sub->add_option("--preprocessing", w.preprocessing, "mean and std: imagenet, inception or clip")->needs(convert);
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
