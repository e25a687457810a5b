#include "rils/convert/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "engine/core/error.h"
#include "engine/ops/copy.h"

namespace tessera::rils {
namespace {

/// Beginnings of names that correspond; `*` stands for a block's number, and the rest of a name is kept. The first row
/// that fits counts. An empty name: that family has no such tensor.
struct Row {
  std::string_view ours, timm, open_clip;
  Form form = Form::same;
  bool decoder = false;  // only in files of MAE
};

constexpr Form kQuery = Form::query_bias, kValue = Form::value_bias;

constexpr std::array kRows = {
    Row{"visual.cls_token", "cls_token", "visual.class_embedding", Form::token},
    Row{"visual.pos_embed", "pos_embed", "visual.positional_embedding", Form::token},
    Row{"visual.patch_embed.proj.weight", "patch_embed.proj.weight", "visual.conv1.weight"},
    Row{"visual.patch_embed.proj.bias", "patch_embed.proj.bias", ""},
    Row{"visual.norm_pre.", "norm_pre.", "visual.ln_pre."},
    Row{"visual.blocks.*.norm1.", "blocks.*.norm1.", "visual.transformer.resblocks.*.ln_1."},
    Row{"visual.blocks.*.attn.qkv.", "blocks.*.attn.qkv.", "visual.transformer.resblocks.*.attn.in_proj_"},
    Row{"visual.blocks.*.attn.q_bias", "blocks.*.attn.qkv.bias", "visual.transformer.resblocks.*.attn.in_proj_bias",
        kQuery},
    Row{"visual.blocks.*.attn.v_bias", "blocks.*.attn.qkv.bias", "visual.transformer.resblocks.*.attn.in_proj_bias",
        kValue},
    Row{"visual.blocks.*.attn.proj.", "blocks.*.attn.proj.", "visual.transformer.resblocks.*.attn.out_proj."},
    Row{"visual.blocks.*.norm2.", "blocks.*.norm2.", "visual.transformer.resblocks.*.ln_2."},
    Row{"visual.blocks.*.mlp.fc1.", "blocks.*.mlp.fc1.", "visual.transformer.resblocks.*.mlp.c_fc."},
    Row{"visual.blocks.*.mlp.fc2.", "blocks.*.mlp.fc2.", "visual.transformer.resblocks.*.mlp.c_proj."},
    Row{"visual.norm.", "norm.", "visual.ln_post."},
    Row{"visual.fc_norm.", "fc_norm.", "visual.ln_post."},
    Row{"visual.mask_token", "mask_token", "", Form::same, true},
    Row{"visual.decoder_blocks.*.attn.q_bias", "decoder_blocks.*.attn.qkv.bias", "", kQuery, true},
    Row{"visual.decoder_blocks.*.attn.v_bias", "decoder_blocks.*.attn.qkv.bias", "", kValue, true},
    Row{"visual.decoder_", "decoder_", "", Form::same, true},
    // Our fine-tuned classifier.
    Row{"fc_norm.", "fc_norm.", ""},
    Row{"head.", "head.", ""},
    // Our text tower has CLIP's names already.
    Row{"image_projection", "", "visual.proj"},
    Row{"token_embedding.", "", "token_embedding."},
    Row{"positional_embedding", "", "positional_embedding"},
    Row{"transformer.", "", "transformer."},
    Row{"ln_final.", "", "ln_final."},
    Row{"text_projection", "", "text_projection"},
    Row{"logit_scale", "", "logit_scale"},
};

struct Match {
  std::string_view number, rest;
};

std::optional<Match> match(std::string_view name, std::string_view pattern) {
  const size_t star = pattern.find('*');
  const std::string_view head = pattern.substr(0, star);
  if (!name.starts_with(head)) return std::nullopt;
  if (star == std::string_view::npos) return Match{{}, name.substr(head.size())};
  const std::string_view tail = pattern.substr(star + 1);
  const size_t end = std::min(name.find_first_not_of("0123456789", star), name.size());
  if (end == star || !name.substr(end).starts_with(tail)) return std::nullopt;
  return Match{name.substr(star, end - star), name.substr(end + tail.size())};
}

std::string fill_in(std::string_view pattern, const Match& m) {
  std::string name(pattern);
  if (const size_t star = name.find('*'); star != std::string::npos) name.replace(star, 1, m.number);
  return name += m.rest;
}

Shape theirs(Shape shape, Form form, Names names) {
  if (form == Form::transposed) return {shape[1], shape[0]};
  if (form == Form::query_bias || form == Form::value_bias) return {3 * shape[0]};
  if (form != Form::token || names != Names::open_clip) return shape;
  Shape rest;
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] != 1 || rest.rank() > 0) rest.push_back(shape[d]);
  }
  return rest;
}

/// The part of their tensor that holds ours. A key's bias shifts all logits of a query alike, which softmax cancels:
/// its third is dropped when read and written as zeros.
Tensor part_of(const Tensor& tensor, Form form, const Shape& ours) {
  const int64_t third = form == Form::value_bias ? 2 : 0;
  if (form == Form::transposed) return contiguous(tensor.transpose(0, 1));
  if (form == Form::query_bias || form == Form::value_bias) return tensor.slice(0, third * ours[0], ours[0]);
  return tensor.reshape(ours);
}

/// Tensors that an encoder does not need: a classifier's head, SLIP's projection for SimCLR, and constants in PyTorch's
/// exported graphs of CLIP.
bool may_be_left(const std::string& name) {
  constexpr std::array<std::string_view, 3> kRecords = {"input_resolution", "context_length", "vocab_size"};
  return name.starts_with("head.") || name.starts_with("image_mlp.") ||
         std::ranges::find(kRecords, name) != kRecords.end();
}

}  // namespace

std::optional<Link> link_of(const std::string& ours, Names names) {
  const bool trunk = names == Names::open_clip_timm, slip = names == Names::slip;
  if (slip && ours == "image_projection") return Link{ours, Form::same};
  if (trunk && ours == "image_projection") return Link{"visual.head.proj.weight", Form::transposed};
  for (const Row& row : kRows) {
    const auto found = match(ours, row.ours);
    if (!found) continue;
    const bool image = ours.starts_with("visual.");
    const bool timm = names == Names::timm || names == Names::mae || ((trunk || slip) && image);
    const std::string_view pattern = timm ? row.timm : row.open_clip;
    if (pattern.empty() || (row.decoder && names != Names::mae)) return std::nullopt;
    const char* before = !image ? "" : trunk ? "visual.trunk." : slip ? "visual." : "";
    return Link{before + fill_in(pattern, *found), row.form};
  }
  return std::nullopt;
}

std::vector<std::string> read_tensors(const nn::SafetensorsFile& file, Names names, nn::ParameterStore& store) {
  std::set<std::string> used;
  const auto fail = [&](const std::string& name, const std::string& what) {
    throw IoError(fmt::format("{}: {}: {}", file.path().string(), name, what));
  };
  for (const nn::Entry& entry : store.entries()) {
    const auto link = link_of(entry.name, names);
    if (!link) fail(entry.name, "this family has no such tensor");
    const Shape expected = theirs(entry.shape, link->form, names);
    const auto info = file.tensors().find(link->name);
    if (info == file.tensors().end()) {
      fail(link->name, fmt::format("expected the shape {}, found none", to_string(expected)));
    }
    // A logit scale is [] or [1].
    const bool scalar = expected.numel() == 1 && info->second.shape.numel() == 1;
    if (info->second.shape != expected && !scalar) {
      fail(link->name,
           fmt::format("expected the shape {}, found {}", to_string(expected), to_string(info->second.shape)));
    }
    copy_into(part_of(file.load(link->name), link->form, entry.shape), entry.value());
    used.insert(link->name);
  }
  for (const nn::Buffer& buffer : store.buffers()) {
    if (const auto link = link_of(buffer.name, names)) used.insert(link->name);
  }
  store.mark_written();
  std::vector<std::string> left;
  for (const auto& [name, info] : file.tensors()) {
    if (used.contains(name)) continue;
    if (!may_be_left(name)) fail(name, "our model has no place for this tensor");
    left.push_back(name);
  }
  return left;
}

std::vector<nn::NamedTensor> write_tensors(const nn::ParameterStore& store, Names names,
                                           std::vector<std::string>& left_out) {
  std::vector<nn::NamedTensor> written;
  const auto write = [&](const std::string& name, const Tensor& value) {
    const auto link = link_of(name, names);
    if (!link) {
      left_out.push_back(name);
      return;
    }
    const Shape shape = theirs(value.shape(), link->form, names);
    if (link->form != Form::query_bias && link->form != Form::value_bias) {
      const bool turned = link->form == Form::transposed;
      written.push_back({link->name, turned ? contiguous(value.transpose(0, 1)) : value.reshape(shape)});
      return;
    }
    auto fused = std::ranges::find(written, link->name, &nn::NamedTensor::name);
    if (fused == written.end()) {
      written.push_back({link->name, Tensor::zeros(shape, value.dtype())});
      fused = std::prev(written.end());
    }
    copy_into(value, part_of(fused->tensor, link->form, value.shape()));
  };
  for (const nn::Entry& entry : store.entries()) write(entry.name, entry.value());
  for (const nn::Buffer& buffer : store.buffers()) write(buffer.name, buffer.tensor);
  return written;
}

}  // namespace tessera::rils
