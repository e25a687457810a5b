// The keys of [model].
#include "rils/config/rows.h"

namespace tessera::rils {

void add_model_keys(std::vector<Key>& keys) {
  using M = ModelConfig;
  using V = VisionConfig;
  using D = DecoderConfig;
  using T = TextConfig;
  using P = ImageMlpConfig;
  constexpr auto kLevel = Level::set_only;
  constexpr auto kFixed = OnResume::must_agree;
  const Section<M> model(
      keys, "model", [](Config& c) -> M& { return c.model; }, kLevel, kFixed);
  model("objective", &M::objective, "objective").placeholder("NAME").common();
  model("embed_dim", &M::embed_dim, "width of the joint embedding space", kExtent);

  const Section<V> vision(
      keys, "model.vision", [](Config& c) -> V& { return c.model.vision; }, kLevel, kFixed);
  vision("image_size", &V::image_size, "image size, pixels per side", kExtent);
  vision("patch_size", &V::patch_size, "patch size, pixels per side", kExtent);
  vision("width", &V::width, "width of the image encoder", kExtent);
  vision("layers", &V::layers, "blocks of the image encoder", kExtent);
  vision("heads", &V::heads, "attention heads of the image encoder", kExtent);
  vision("pool", &V::pool, "feature of an image: the mean of its patch tokens, or its CLS token");
  vision("norm", &V::norm, "place of the final norm: on the tokens, or after pooling").placeholder("WHERE");
  vision("positions", &V::positions, "position embeddings: a frozen table, or parameters");
  vision("act", &V::act, "activation of the image encoder").placeholder("NAME");
  vision("pre_norm", &V::pre_norm, "norm before the blocks and no patch bias, as in CLIP");

  const Section<D> decoder(
      keys, "model.decoder", [](Config& c) -> D& { return c.model.decoder; }, kLevel, kFixed);
  decoder("width", &D::width, "width of the masked decoder", kExtent);
  decoder("layers", &D::layers, "blocks of the masked decoder", kExtent);
  decoder("heads", &D::heads, "attention heads of the masked decoder", kExtent);

  const Section<T> text(
      keys, "model.text", [](Config& c) -> T& { return c.model.text; }, kLevel, kFixed);
  text("context_length", &T::context_length, "longest text in tokens", {3, 65536});
  text("vocab_size", &T::vocab_size, "token ids; 0: as many as the vocabulary has", {0, 1 << 24});
  text("width", &T::width, "width of the text encoder", kExtent);
  text("layers", &T::layers, "blocks of the text encoder", kExtent);
  text("heads", &T::heads, "attention heads of the text encoder", kExtent);
  text("act", &T::act, "activation of the text encoder").placeholder("NAME");

  const Section<P> image_mlp(
      keys, "model.image_mlp", [](Config& c) -> P& { return c.model.image_mlp; }, kLevel, kFixed);
  image_mlp("hidden", &P::hidden, "hidden width of the SimCLR projection head", kExtent);
  image_mlp("output", &P::output, "output width of the SimCLR projection head", kExtent);
}

}  // namespace tessera::rils
