// The configurations in apps/configs.
#include <gtest/gtest.h>

#include <filesystem>

#include "rils/config/schema.h"
#include "rils/config/toml.h"

namespace tessera::rils {
namespace {

TEST(Shipped, EveryConfigurationIsValid) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(TESSERA_SOURCE_DIR "/apps/configs")) {
    if (entry.path().extension() != ".toml") continue;
    ++count;
    EXPECT_NO_THROW(check_config(load_config(entry.path()))) << entry.path();
  }
  EXPECT_GE(count, 6);
}

TEST(Shipped, PublishedSizes) {
  const Config b = load_config(TESSERA_SOURCE_DIR "/apps/configs/rils_vitb16.toml");
  EXPECT_EQ(b.model, ModelConfig{}) << "the defaults are ViT-B/16";
  EXPECT_EQ(b.loss, (LossConfig{.simulated_ranks = 64}));
  EXPECT_EQ(plan_batch(b, 1).global, 4096);
  const Config l = load_config(TESSERA_SOURCE_DIR "/apps/configs/rils_vitl16.toml");
  EXPECT_EQ(l.model.vision, (VisionConfig{224, 16, 1024, 24, 16}));
  EXPECT_EQ(l.model.decoder, (DecoderConfig{1024, 1, 16}));
  EXPECT_EQ(l.model.text, (TextConfig{77, 0, 768, 12, 12}));
  EXPECT_EQ(l.model.embed_dim, 768);
  EXPECT_EQ(l.loss, (LossConfig{.simulated_ranks = 64}));
  EXPECT_EQ(plan_batch(l, 1).global, 4096);
  const Config mae = load_config(TESSERA_SOURCE_DIR "/apps/configs/mae_vitb16.toml");
  EXPECT_EQ(mae.model.objective, ObjectiveName::mae);
  EXPECT_EQ(mae.model.vision, VisionConfig{});
  EXPECT_EQ(mae.model.decoder, (DecoderConfig{512, 8, 16}));
  const Config slip = load_config(TESSERA_SOURCE_DIR "/apps/configs/slip_vitb16.toml");
  EXPECT_EQ(slip.model.objective, ObjectiveName::slip);
  EXPECT_EQ(slip.model.image_mlp, (ImageMlpConfig{4096, 256}));
  EXPECT_EQ(slip.loss, LossConfig{});
}

}  // namespace
}  // namespace tessera::rils
