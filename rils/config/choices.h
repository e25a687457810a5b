#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tessera::rils {

// The closed choices of a configuration. The words of an enum, which TOML and the command line use, stand below it in
// the order of its enumerators.

template <class E>
inline constexpr std::nullptr_t kWords = nullptr;

/// What a run trains; objective.h has the terms. encoder: an image encoder that is used and not trained.
enum class ObjectiveName : uint8_t { rils, clip, slip, simclr, mae, mae_clip, encoder };
template <>
inline constexpr std::array<std::string_view, 7> kWords<ObjectiveName> = {"rils", "clip",     "slip",   "simclr",
                                                                          "mae",  "mae+clip", "encoder"};

/// The feature of an image: the mean of its patch tokens, or its CLS token.
enum class Pool : uint8_t { mean, cls };
template <>
inline constexpr std::array<std::string_view, 2> kWords<Pool> = {"mean", "cls"};

/// The place of the image encoder's final norm: on every token, or after pooling (timm's fc_norm).
enum class FinalNorm : uint8_t { tokens, pooled };
template <>
inline constexpr std::array<std::string_view, 2> kWords<FinalNorm> = {"tokens", "pooled"};

/// Position embeddings: a frozen table, or parameters.
enum class Positions : uint8_t { sine_cosine, learned };
template <>
inline constexpr std::array<std::string_view, 2> kWords<Positions> = {"sine-cosine", "learned"};

/// The activation of the MLPs; gelu is the erf form.
enum class Activation : uint8_t { gelu, quick_gelu };
template <>
inline constexpr std::array<std::string_view, 2> kWords<Activation> = {"gelu", "quick_gelu"};

/// Whether the keys of the contrastive loss and the sentence prototypes are constants, as in the authors' multi-process
/// runs, or carry gradient, as in their single-process runs and open_clip's --gather-with-grad.
enum class Gather : uint8_t { constant, with_gradient };
template <>
inline constexpr std::array<std::string_view, 2> kWords<Gather> = {"constant", "with-gradient"};

/// The hidden patches that the reconstruction sum is divided by: those of images that pass the gate, or all.
enum class Normalizer : uint8_t { selected, all };
template <>
inline constexpr std::array<std::string_view, 2> kWords<Normalizer> = {"selected", "all"};

/// How a probe of frozen features is trained: logistic regression by L-BFGS, or MAE's recipe with LARS.
enum class ProbeKind : uint8_t { logistic, lars };
template <>
inline constexpr std::array<std::string_view, 2> kWords<ProbeKind> = {"logistic", "lars"};

/// An enum with words.
template <class E>
concept Choosable = std::same_as<std::underlying_type_t<E>, uint8_t> && requires {
  kWords<E>.size();
};

template <Choosable E>
[[nodiscard]] constexpr std::string_view word_of(E value) {
  return kWords<E>.at(static_cast<size_t>(value));
}

/// Empty where no enumerator has this word.
template <Choosable E>
[[nodiscard]] constexpr std::optional<E> from_word(std::string_view word) {
  const auto found = std::ranges::find(kWords<E>, word);
  if (found == kWords<E>.end()) return std::nullopt;
  return static_cast<E>(found - kWords<E>.begin());
}

}  // namespace tessera::rils
