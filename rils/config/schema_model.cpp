// The keys of [model].
#include "rils/config/ranges.h"

namespace tessera::rils {
namespace {

template <class Member>
auto vision(Member member) {
  return at(&Config::model, &ModelConfig::vision, member);
}
template <class Member>
auto decoder(Member member) {
  return at(&Config::model, &ModelConfig::decoder, member);
}
template <class Member>
auto text(Member member) {
  return at(&Config::model, &ModelConfig::text, member);
}
template <class Member>
auto image_mlp(Member member) {
  return at(&Config::model, &ModelConfig::image_mlp, member);
}

}  // namespace

std::vector<Key> model_keys() {
  using V = VisionConfig;
  using D = DecoderConfig;
  using T = TextConfig;
  using M = ImageMlpConfig;
  return {
      {"model.objective",
       at(&Config::model, &ModelConfig::objective),
       "NAME",
       "what is trained",
       kAny,
       {{"rils"}, {"clip"}, {"slip"}, {"simclr"}, {"mae"}, {"mae+clip"}, {"encoder"}},
       kCommon,
       kFixed},
      {"model.embed_dim",
       at(&Config::model, &ModelConfig::embed_dim),
       "N",
       "width of the joint embedding",
       kCount,
       {},
       kSetOnly,
       kFixed},
      {"model.vision.image_size", vision(&V::image_size), "N", "pixels a side", kCount, {}, kSetOnly, kFixed},
      {"model.vision.patch_size", vision(&V::patch_size), "N", "pixels a side", kCount, {}, kSetOnly, kFixed},
      {"model.vision.width", vision(&V::width), "N", "of the image encoder", kCount, {}, kSetOnly, kFixed},
      {"model.vision.layers", vision(&V::layers), "N", "of the image encoder", kCount, {}, kSetOnly, kFixed},
      {"model.vision.heads", vision(&V::heads), "N", "of the image encoder", kCount, {}, kSetOnly, kFixed},
      {"model.vision.pool",
       vision(&V::pool),
       "HOW",
       "tokens to an image's feature",
       kAny,
       {{"mean"}, {"cls"}},
       kSetOnly,
       kFixed},
      {"model.vision.norm",
       vision(&V::norm),
       "WHERE",
       "the final norm stands before or after pooling",
       kAny,
       {{"tokens"}, {"pooled"}},
       kSetOnly,
       kFixed},
      {"model.vision.positions",
       vision(&V::positions),
       "HOW",
       "frozen, or parameters",
       kAny,
       {{"sine-cosine"}, {"learned"}},
       kSetOnly,
       kFixed},
      {"model.vision.act",
       vision(&V::act),
       "NAME",
       "between fc1 and fc2",
       kAny,
       {{"gelu"}, {"quick_gelu"}},
       kSetOnly,
       kFixed},
      {"model.vision.pre_norm",
       vision(&V::pre_norm),
       "BOOL",
       "CLIP's norm before the blocks, no patch bias",
       kAny,
       {},
       kSetOnly,
       kFixed},
      {"model.decoder.width", decoder(&D::width), "N", "of the masked decoder", kCount, {}, kSetOnly, kFixed},
      {"model.decoder.layers", decoder(&D::layers), "N", "of the masked decoder", kCount, {}, kSetOnly, kFixed},
      {"model.decoder.heads", decoder(&D::heads), "N", "of the masked decoder", kCount, {}, kSetOnly, kFixed},
      {"model.text.context_length", text(&T::context_length), "N", "tokens", {3, kInfinity}, {}, kSetOnly, kFixed},
      {"model.text.vocab_size",
       text(&T::vocab_size),
       "N",
       "ids; 0: the vocabulary's",
       kNotNegative,
       {},
       kSetOnly,
       kFixed},
      {"model.text.width", text(&T::width), "N", "of the text encoder", kCount, {}, kSetOnly, kFixed},
      {"model.text.layers", text(&T::layers), "N", "of the text encoder", kCount, {}, kSetOnly, kFixed},
      {"model.text.heads", text(&T::heads), "N", "of the text encoder", kCount, {}, kSetOnly, kFixed},
      {"model.text.act",
       text(&T::act),
       "NAME",
       "between c_fc and c_proj",
       kAny,
       {{"quick_gelu"}, {"gelu"}},
       kSetOnly,
       kFixed},
      {"model.image_mlp.hidden", image_mlp(&M::hidden), "N", "width of the views' head", kCount, {}, kSetOnly, kFixed},
      {"model.image_mlp.output", image_mlp(&M::output), "N", "width of its result", kCount, {}, kSetOnly, kFixed},
  };
}

}  // namespace tessera::rils
