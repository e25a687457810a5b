// Reading, writing and checking configurations. Every message is pinned: what a user sees is part of the contract.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <set>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "tests/rils/config/message_of.h"

namespace tessera::rils {
namespace {

using test::message_of;

std::string reading(std::string_view toml) {
  return message_of([&] {
    Config config;
    merge_toml(config, toml, "run.toml");
  });
}

std::string assigning(std::string_view assignment) {
  return message_of([&] {
    Config config;
    set_assignment(config, assignment);
  });
}

std::string checking(const std::function<void(Config&)>& change) {
  return message_of([&] {
    Config config;
    change(config);
    check_config(config);
  });
}

/// A configuration in which every key has another value than by default.
Config changed() {
  Config config;
  int64_t n = 1;
  for (const Key& key : schema()) {
    const Field field = key.field(config);
    ++n;
    if (auto* const* v = std::get_if<bool*>(&field)) **v = !**v;
    if (auto* const* v = std::get_if<int64_t*>(&field)) **v += n;
    if (auto* const* v = std::get_if<double*>(&field)) {
      **v = 1.0 / (3.0 + static_cast<double>(n));
      if (!key.range.contains(**v)) **v += key.range.contains(**v + 1.0) ? 1.0 : key.range.min;
    }
    if (auto* const* v = std::get_if<std::string*>(&field)) {
      **v = key.choices.empty() ? fmt::format("\"a\\b\"\n\t\x01 ü {}", n) : std::string(key.choices.back().name);
    }
    if (const auto* v = std::get_if<ChoiceField>(&field)) {
      *v->index = *v->index == 0 ? static_cast<uint8_t>(key.choices.size() - 1) : uint8_t{0};
    }
    if (const auto* v = std::get_if<std::span<double>>(&field)) {
      for (double& x : *v) x = 1.0 / (7.0 + x + static_cast<double>(n));
    }
    if (auto* const* v = std::get_if<std::vector<int64_t>*>(&field)) **v = {n, 1};
  }
  return config;
}

/// Converts to any type, once for each member of an aggregate.
struct Anything {
  template <class T>
  operator T() const;
};
/// How many members a structure has.
template <class S, class... Found>
constexpr size_t members() {
  if constexpr (requires { S{Found{}..., Anything{}}; }) {
    return members<S, Found..., Anything>();
  } else {
    return sizeof...(Found);
  }
}

TEST(Schema, CoversEveryMemberAndNamesEachOnce) {
  std::set<std::string_view> paths;
  std::set<const void*> places;
  Config config;
  for (const Key& key : schema()) {
    EXPECT_TRUE(paths.insert(key.path).second) << key.path;
    const void* place = std::visit(
        [](auto v) -> const void* {
          if constexpr (std::is_pointer_v<decltype(v)>) {
            return v;
          } else if constexpr (std::is_same_v<decltype(v), ChoiceField>) {
            return v.index;
          } else {
            return v.data();
          }
        },
        key.field(config));
    EXPECT_TRUE(places.insert(place).second) << key.path << " lies where another key lies";
    EXPECT_FALSE(key.help.empty()) << key.path;
    EXPECT_FALSE(key.placeholder.empty()) << key.path;
  }
  const auto keys_of = [](std::string_view section) {
    return static_cast<size_t>(std::ranges::count(schema(), section, &Key::section));
  };
  EXPECT_EQ(keys_of("model"), members<ModelConfig>() - 4) << "four members are sections";
  EXPECT_EQ(keys_of("model.vision"), members<VisionConfig>());
  EXPECT_EQ(keys_of("model.decoder"), members<DecoderConfig>());
  EXPECT_EQ(keys_of("model.text"), members<TextConfig>());
  EXPECT_EQ(keys_of("model.image_mlp"), members<ImageMlpConfig>());
  EXPECT_EQ(keys_of("loss"), members<LossConfig>());
  EXPECT_EQ(keys_of("data"), members<DataConfig>());
  EXPECT_EQ(keys_of("augment"), members<AugmentConfig>());
  EXPECT_EQ(keys_of("optim"), members<OptimConfig>());
  EXPECT_EQ(keys_of("run"), members<RunConfig>());
  EXPECT_EQ(keys_of("finetune"), members<FinetuneConfig>());
}

TEST(Choices, WordsAreReadBackAsTheirEnumerators) {
  EXPECT_EQ(word_of(ObjectiveName::mae_clip), "mae+clip");
  EXPECT_EQ(word_of(Gather::with_gradient), "with-gradient");
  EXPECT_EQ(word_of(Activation::quick_gelu), "quick_gelu");
  for (const std::string_view word : kWords<ObjectiveName>) EXPECT_EQ(word_of(*from_word<ObjectiveName>(word)), word);
  EXPECT_FALSE(from_word<ObjectiveName>("beit"));
}

TEST(Schema, DefaultsPassTheirOwnRangesAndChecks) {
  const Config defaults;
  EXPECT_NO_THROW(check_config(defaults));
  for (const Key& key : schema()) {
    Config copy;
    EXPECT_NO_THROW(merge_toml(copy, fmt::format("[{}]\n{} = {}", key.section(), key.name(), value_text(defaults, key)),
                               "defaults"));
    EXPECT_EQ(copy, defaults) << key.path;
  }
}

TEST(Schema, OptionsHaveNamesOfTheirOwn) {
  std::set<std::string_view> names;
  for (const Key& key : schema()) {
    if (key.level == Level::set_only) continue;
    EXPECT_TRUE(names.insert(key.name()).second) << key.path;
  }
}

TEST(Toml, RoundTripIsExact) {
  const Config original = changed();
  ASSERT_EQ(differences(Config{}, original).size(), schema().size()) << "a key was left at its default";
  Config read;
  const std::string text = to_toml(original);
  for (const char* section : {"[model]", "[model.vision]", "[model.decoder]", "[model.text]", "[loss]", "[data]",
                              "[augment]", "[optim]", "[run]", "[finetune]"}) {
    EXPECT_NE(text.find(section), std::string::npos) << section;
  }
  merge_toml(read, text, "written");
  EXPECT_EQ(read, original);
  EXPECT_EQ(to_toml(read), text);
}

TEST(Toml, PretrainingsFilesDoNotSpeakOfFineTuning) {
  Config config;
  EXPECT_EQ(to_toml(config).find("[finetune]"), std::string::npos);
  config.finetune.data_path = "images";
  EXPECT_NE(to_toml(config).find("[finetune]\ndata_path = \"images\""), std::string::npos);
}

TEST(Schema, EveryProgramReadsItsKeys) {
  int both = 0, own = 0;
  for (const Key& key : schema()) {
    EXPECT_TRUE(serves(key, Program::pretrain) || serves(key, Program::finetune)) << key.path;
    both += serves(key, Program::pretrain) && serves(key, Program::finetune) ? 1 : 0;
    own += serves(key, Program::pretrain) ? 0 : 1;
  }
  EXPECT_EQ(both, 35 + 10) << "a name in the list of shared keys is none, or model.vision grew";
  EXPECT_EQ(own, std::ranges::count(schema(), "finetune", &Key::section));
}

TEST(Schema, FineTuningStartsFromMaesRecipe) {
  Config config = finetuning_defaults();
  EXPECT_NO_THROW(check_config(config));
  EXPECT_EQ(config.augment.crop_scale, (std::array{0.08, 1.0}));
  EXPECT_EQ(config.optim.beta2, 0.999);
  EXPECT_EQ(config.optim.wd, 0.05);
  EXPECT_EQ(config.optim.lr_end, 1e-6);
  Config probe = probing_defaults();
  EXPECT_NO_THROW(check_config(probe));
  merge_toml(config, read_file(TESSERA_SOURCE_DIR "/apps/configs/linprobe_vitb16.toml"), "linprobe");
  probe.optim.batch_size = 512;
  probe.optim.accum_freq = 32;
  probe.finetune.layer_decay = config.finetune.layer_decay;
  EXPECT_EQ(config, probe) << "the recipe is what --probe lars says";
}

TEST(Toml, ModelAndLossAloneAreEnough) {
  Config config;
  merge_toml(
      config,
      "[model]\nembed_dim = 20\n[model.decoder]\nlayers = 3\n[loss]\nsimulated_ranks = 2\nlogit_scale_max = 100\n",
      "m.toml");
  EXPECT_EQ(config.model.embed_dim, 20);
  EXPECT_EQ(config.model.decoder.layers, 3);
  EXPECT_EQ(config.loss.simulated_ranks, 2);
  EXPECT_EQ(config.loss.logit_scale_max, 100.0) << "an integer is a number";
  EXPECT_EQ(config.optim, OptimConfig{});
  EXPECT_NO_THROW(check_config(config));
}

TEST(Toml, ErrorsSayWhereAndWhat) {
  EXPECT_EQ(reading("[optim]\n\nlr = \"fast\""),
            "run.toml:3: optim.lr: expected a number of at least 0, found \"fast\"");
  EXPECT_EQ(reading("[optim]\nlr = -1.5"), "run.toml:2: optim.lr: expected a number of at least 0, found -1.5");
  EXPECT_EQ(reading("[optim]\nlr = nan"), "run.toml:2: optim.lr: expected a number of at least 0, found nan");
  EXPECT_EQ(reading("[optim]\nepochs = 2.5"),
            "run.toml:2: optim.epochs: expected an integer in [1, 1000000000], found 2.5");
  EXPECT_EQ(reading("[optim]\nepochs = 0"),
            "run.toml:2: optim.epochs: expected an integer in [1, 1000000000], found 0");
  EXPECT_EQ(reading("[loss]\nmask_ratio = 1.0"), "run.toml:2: loss.mask_ratio: expected a number in [0, 1), found 1.0");
  EXPECT_EQ(reading("[loss]\nstudent_temperature = 0"),
            "run.toml:2: loss.student_temperature: expected a number above 0, found 0");
  EXPECT_EQ(reading("[loss]\ngather = \"none\""),
            "run.toml:2: loss.gather: expected one of constant, with-gradient, found \"none\"");
  EXPECT_EQ(reading("[model]\nobjective = 3"),
            "run.toml:2: model.objective: expected one of rils, clip, slip, simclr, mae, mae+clip, encoder, found 3");
  EXPECT_EQ(reading("[run]\nname = true"), "run.toml:2: run.name: expected a string in quotes, found true");
  EXPECT_EQ(reading("[run]\nreport_to = \"wandb\""),
            "run.toml:2: run.report_to: expected \"tensorboard\" or nothing, found \"wandb\"");
  EXPECT_EQ(reading("[run]\ngrad_checkpointing = 1"),
            "run.toml:2: run.grad_checkpointing: expected true or false, found 1");
  EXPECT_EQ(reading("[augment]\nimage_mean = [0.5, 0.5]"),
            "run.toml:2: augment.image_mean: expected a list of 3 numbers, found [0.5, 0.5]");
  EXPECT_EQ(reading("[augment]\nimage_mean = [\"a\"]"),
            "run.toml:2: augment.image_mean: expected a value, found a list of something else");
  EXPECT_EQ(reading("[augment]\ncrop_scale = [0, 1]"),
            "run.toml:2: augment.crop_scale: expected a list of 2 numbers in (0, 1], found [0.0, 1.0]");
  EXPECT_EQ(reading("[run]\nname = 2020-01-01"), "run.toml:2: run.name: expected a value, found a date or time");
  EXPECT_EQ(reading("model = 3"), "run.toml:1: model: expected a section, found a value");
  EXPECT_EQ(reading("[optim.lr]\nx = 1"), "run.toml:1: optim.lr: expected a value, found a section");
}

TEST(Toml, UnknownNamesGetTheNearest) {
  EXPECT_EQ(reading("[optim]\nlrr = 1"), "run.toml:2: unknown key optim.lrr; did you mean optim.lr?");
  EXPECT_EQ(reading("[optim]\nworkers = 1"), "run.toml:2: unknown key optim.workers; did you mean data.workers?");
  EXPECT_EQ(reading("[optimizer]\nlr = 1"), "run.toml:1: unknown section [optimizer]; did you mean [optim]?");
  EXPECT_EQ(reading("[model.vison]\nwidth = 1"),
            "run.toml:1: unknown section [model.vison]; did you mean [model.vision]?");
  EXPECT_EQ(reading("epochs = 3"), "run.toml:1: unknown key epochs; did you mean optim.epochs?");
  EXPECT_EQ(reading("[model.image_mlp]\nzyx = 1"),
            "run.toml:2: unknown key model.image_mlp.zyx; [model.image_mlp] has hidden, output");
  const std::string sections =
      "; the sections are model, model.vision, model.decoder, model.text, model.image_mlp, loss, data, augment, optim, "
      "run, finetune";
  EXPECT_EQ(reading("xyz = 3"), "run.toml:1: unknown key xyz" + sections);
  EXPECT_EQ(reading("[server]\nport = 3"), "run.toml:1: unknown section [server]" + sections);
}

TEST(Toml, BadSyntaxNamesTheLine) {
  EXPECT_TRUE(reading("[optim]\nlr = \n").starts_with("run.toml:2: ")) << reading("[optim]\nlr = \n");
  EXPECT_TRUE(reading("[optim]\nlr = 1\nlr = 2\n").starts_with("run.toml:3: "));
  EXPECT_EQ(reading("[optim]\nlr = \n").find('\n'), std::string::npos);
}

/// A key of 100,000 parts would use up the stack of the library.
TEST(Toml, KeysOfManyPartsAreRefused) {
  const auto dots = [](size_t count) {
    std::string text;
    for (size_t i = 0; i < count; ++i) text += "a.";
    return text + "a = 1";
  };
  EXPECT_EQ(reading("\n" + dots(100'000)), "run.toml:2: expected at most 64 dots in a line, found more");
  EXPECT_EQ(reading("[" + dots(65)), "run.toml:1: expected at most 64 dots in a line, found more");
  EXPECT_TRUE(reading(dots(64)).starts_with("run.toml:1: unknown section [a]")) << reading(dots(64));
  EXPECT_EQ(reading("#" + std::string(1 << 20, ' ')),
            "run.toml: expected at most 1048576 bytes of TOML, found 1048577");
  EXPECT_EQ(reading("[run]\nname = \"" + dots(100) + "\" # " + dots(100)), "no error");
  // What looks like the begin or the end of a string, and is none.
  for (const std::string before : {"x = ['\\', ", "x = [\"\"\"\n'\"\"\", ", "x = ['''\n\"''', ",
                                   "x = [\"\"\"\n\"\"\"\"\", ", "x = [\"\\\"'\", "}) {
    const std::string text = before + "{" + dots(100'000) + "}]";
    EXPECT_TRUE(reading(text).ends_with("expected at most 64 dots in a line, found more")) << before;
  }
}

TEST(Schema, SizesOfModelsHaveUpperEnds) {
  EXPECT_EQ(reading("[model.vision]\nlayers = 1000000000"),
            "run.toml:2: model.vision.layers: expected an integer in [1, 65536], found 1000000000");
  EXPECT_EQ(reading("[model.vision]\nimage_size = 9007199254740992"),
            "run.toml:2: model.vision.image_size: expected an integer in [1, 65536], found 9007199254740992");
}

TEST(Toml, AFailedReadChangesNothing) {
  Config config;
  EXPECT_THROW(merge_toml(config, "[optim]\nlr = 1\nbeta1 = 2", "x"), ConfigError);
  EXPECT_EQ(config, Config{});
}

TEST(Toml, AMissingFileIsAnIoError) { EXPECT_THROW((void)load_config("/nonexistent/run.toml"), IoError); }

TEST(Assignment, ReadsEveryType) {
  Config config;
  for (const char* assignment : {"optim.lr=1e-3", "optim.batch-size=7", "run.grad_checkpointing=true",
                                 "augment.crop_scale=0.25,1", "augment.image_std=[1, 2, 3]", "run.name=a=b",
                                 "optim.warmup=-1", "run.precision=bf16", "loss.gather=with_gradient"}) {
    set_assignment(config, assignment);
  }
  EXPECT_EQ(config.optim.lr, 1e-3);
  EXPECT_EQ(config.optim.batch_size, 7);
  EXPECT_TRUE(config.run.grad_checkpointing);
  EXPECT_EQ(config.augment.crop_scale, (std::array{0.25, 1.0}));
  EXPECT_EQ(config.augment.image_std, (std::array{1.0, 2.0, 3.0}));
  EXPECT_EQ(config.run.name, "a=b");
  EXPECT_EQ(config.run.precision, "amp_bf16");
  EXPECT_EQ(config.loss.gather, Gather::with_gradient);
}

TEST(Assignment, ListsOfIntegersHaveAnyLength) {
  Config config;
  const auto shots = [&] { return value_text(config, *find_key("finetune.shots")); };
  EXPECT_EQ(shots(), "0");
  struct Case {
    std::string text;
    std::vector<int64_t> values;
    std::string written;
  };
  const std::vector<Case> cases = {{"1,2,10", {1, 2, 10}, "[1, 2, 10]"},
                                   {"[5, 4]", {5, 4}, "[5, 4]"},
                                   {"7", {7}, "7"},
                                   {"[3]", {3}, "3"},
                                   {"0", {}, "0"}};
  for (const auto& [text, values, written] : cases) {
    set_assignment(config, "finetune.shots=" + text);
    EXPECT_EQ(config.finetune.shots, values) << text;
    EXPECT_EQ(shots(), written);
    Config read;
    merge_toml(read, "[finetune]\nshots = " + written, "x");
    EXPECT_EQ(read.finetune.shots, values) << written;
  }
  for (const char* wrong : {"1,0", "-1", "1.5,2"}) {
    EXPECT_TRUE(assigning(std::string("finetune.shots=") + wrong)
                    .starts_with("--set finetune.shots: expected integers of at least 1, found "))
        << wrong;
  }
  EXPECT_EQ(assigning("finetune.shots=few"), "--set finetune.shots: expected integers of at least 1, found \"few\"");
  EXPECT_EQ(reading("[finetune]\nshots = \"5\""),
            "run.toml:2: finetune.shots: expected integers of at least 1, found \"5\"");
}

TEST(Assignment, ErrorsSayWhat) {
  EXPECT_EQ(assigning("optim.lr=fast"), "--set optim.lr: expected a number of at least 0, found \"fast\"");
  EXPECT_EQ(assigning("optim.lr=1x"), "--set optim.lr: expected a number of at least 0, found \"1x\"");
  EXPECT_EQ(assigning("optim.lr="), "--set optim.lr: expected a number of at least 0, found \"\"");
  EXPECT_EQ(assigning("optim.epochs=1.5"), "--set optim.epochs: expected an integer in [1, 1000000000], found \"1.5\"");
  EXPECT_EQ(assigning("optim.epochs=99999999999999999999"),
            "--set optim.epochs: expected an integer in [1, 1000000000], found \"99999999999999999999\"");
  EXPECT_EQ(assigning("augment.crop_scale=1"),
            "--set augment.crop_scale: expected a list of 2 numbers in (0, 1], found [1.0]");
  EXPECT_EQ(assigning("run.grad_checkpointing=yes"),
            "--set run.grad_checkpointing: expected true or false, found \"yes\"");
  EXPECT_EQ(assigning("optim.lr"), "--set: expected section.key=value, found \"optim.lr\"");
  EXPECT_EQ(assigning("lr=1"), "--set: unknown key lr; did you mean optim.lr?");
}

TEST(Nearest, CountsEdits) {
  const std::vector<std::string_view> words = {"warmup", "workers", "wd"};
  EXPECT_EQ(nearest("warmpu", words), "warmup");  // one swap
  EXPECT_EQ(nearest("wokers", words), "workers");
  EXPECT_EQ(nearest("wdd", words), "wd");
  EXPECT_EQ(nearest("work", words), "workers") << "the beginning of one";
  EXPECT_EQ(nearest("warmup-epochs", words), "warmup") << "one and more";
}

TEST(Nearest, IsNothingThatIsFarAway) {
  const std::vector<std::string_view> words = {"warmup", "workers", "wd"};
  for (const char* word : {"", "w", "x", "lr", "keepers"}) EXPECT_EQ(nearest(word, words), "") << word;
  EXPECT_EQ(nearest("x", {}), "");
  EXPECT_EQ(nearest("", {}), "");
}

TEST(Check, NamesTheKeysThatDoNotFit) {
  EXPECT_EQ(checking([](Config&) {}), "no error");
  EXPECT_EQ(checking([](Config& c) { c.model.vision.patch_size = 15; }),
            "model.vision.patch_size: expected a divisor of model.vision.image_size = 224, found 15");
  EXPECT_EQ(checking([](Config& c) { c.model.vision.heads = 7; }),
            "model.vision.heads: expected a divisor of model.vision.width = 768, found 7");
  EXPECT_EQ(checking([](Config& c) { c.model.text.heads = 7; }),
            "model.text.heads: expected a divisor of model.text.width = 512, found 7");
  EXPECT_EQ(checking([](Config& c) { c.model.decoder.heads = 7; }),
            "model.decoder.heads: expected a divisor of model.decoder.width = 768, found 7");
  EXPECT_EQ(checking([](Config& c) {
              c.model.objective = ObjectiveName::clip;
              c.model.decoder.heads = 7;
            }),
            "no error")
      << "clip has no decoder";
  EXPECT_EQ(checking([](Config& c) {
              c.model.vision.width = 22;
              c.model.vision.heads = 2;
            }),
            "model.vision.width: expected a multiple of 4 (sine and cosine of row and column), found 22");
  EXPECT_EQ(checking([](Config& c) {
              c.model.objective = ObjectiveName::mae;
              c.model.text.heads = 7;
            }),
            "no error")
      << "mae has no text encoder";
  EXPECT_EQ(checking([](Config& c) {
              c.model.objective = ObjectiveName::mae_clip;
              c.model.decoder.heads = 7;
            }),
            "model.decoder.heads: expected a divisor of model.decoder.width = 768, found 7");
  EXPECT_EQ(checking([](Config& c) {
              c.model.objective = ObjectiveName::mae;
              c.loss.mask_ratio = 0;
            }),
            "loss.mask_ratio: expected at least one of 196 patches to be hidden, found 0");
  for (const ObjectiveName name : {ObjectiveName::simclr, ObjectiveName::clip, ObjectiveName::slip, ObjectiveName::rils,
                                   ObjectiveName::mae_clip}) {
    const auto alone = [&](Config& c) {
      c.model.objective = name;
      c.optim.batch_size = 1;
    };
    EXPECT_EQ(checking(alone),
              fmt::format("optim.batch_size: expected a global batch of at least 2 for objective {}, found 1",
                          word_of(name)));
    const auto classifier = [&](Config& c) {
      alone(c);
      c.finetune.data_path = "classes";
    };
    EXPECT_EQ(checking(classifier), "no error") << "only its encoder is used";
    const auto accumulated = [&](Config& c) {
      alone(c);
      c.optim.accum_freq = 2;
    };
    EXPECT_EQ(checking(accumulated), "no error");
  }
  EXPECT_EQ(checking([](Config& c) {
              c.augment.view_crop_scale = {1.0, 0.5};
            }),
            "augment.view_crop_scale: expected two numbers in order, found [1, 0.5]");
  EXPECT_EQ(checking([](Config& c) { c.loss.mask_ratio = 0.999; }),
            "loss.mask_ratio: expected at least one of 196 patches to stay visible, found 0.999");
  EXPECT_EQ(checking([](Config& c) { c.loss.simulated_ranks = 5; }),
            "loss.simulated_ranks: expected a divisor of the global batch = 64, found 5");
  EXPECT_EQ(checking([](Config& c) { c.optim.global_batch_size = 100; }),
            "optim.global_batch_size: expected a multiple of 64 (optim.batch_size 64 x 1 process), found 100");
  EXPECT_EQ(checking([](Config& c) {
              c.augment.crop_scale = {1.0, 0.5};
            }),
            "augment.crop_scale: expected two numbers in order, found [1, 0.5]");
  EXPECT_EQ(checking([](Config& c) { c.run.device = "cuda:"; }),
            "run.device: expected auto, cpu, cuda or cuda:N, found \"cuda:\"");
  EXPECT_EQ(checking([](Config& c) { c.run.device = "cuda:1"; }), "no error");
  EXPECT_EQ(checking([](Config& c) { c.run.name = "../x"; }),
            "run.name: expected the name of a folder below run.logs, found \"../x\"");
}

TEST(Warmup, IsAnEpochWhereItIsNotGiven) {
  OptimConfig optim;
  EXPECT_EQ(warmup_steps(optim, 55), 55);
  optim.warmup = 0;
  EXPECT_EQ(warmup_steps(optim, 55), 0);
}

TEST(Resume, NamesTheKeyThatDiffers) {
  const Config stored;
  const auto resuming = [&](const std::function<void(Config&)>& change) {
    Config now;
    change(now);
    return message_of([&] { check_resumable(stored, now); });
  };
  EXPECT_EQ(resuming([](Config&) {}), "no error");
  EXPECT_EQ(resuming([](Config& c) { c.model.vision.width = 512; }),
            "--resume: model.vision.width: expected the run's own 768, found 512");
  EXPECT_EQ(resuming([](Config& c) { c.data.train_data = "b"; }),
            "--resume: data.train_data: expected the run's own \"\", found \"b\"");
  EXPECT_EQ(resuming([](Config& c) {
              c.run.logs = "elsewhere";
              c.data.workers = 9;
              c.optim.epochs = 99;
            }),
            "no error");
  EXPECT_EQ(resuming([](Config& c) {
              c.optim.batch_size = 16;
              c.optim.accum_freq = 4;
            }),
            "no error")
      << "the global batch is the same";
  EXPECT_EQ(resuming([](Config& c) { c.optim.batch_size = 32; }),
            "--resume: optim.global_batch_size: expected the run's own 64, found 32");
}

TEST(Differences, AreListedInTheOrderOfTheKeys) {
  Config other;
  other.optim.lr = 1;
  other.model.embed_dim = 3;
  const auto found = differences(Config{}, other);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].key->path, "model.embed_dim");
  EXPECT_EQ(found[0].first, "512");
  EXPECT_EQ(found[0].second, "3");
  EXPECT_EQ(found[1].key->path, "optim.lr");
  EXPECT_EQ(found[1].first, "0.0005");
}

}  // namespace
}  // namespace tessera::rils
