#pragma once

#include <string>
#include <vector>

#include "engine/core/device.h"

namespace tessera::rils {

/// Options of the functions below. Each prints its answers, writes `output` whole or not at all, returns the exit code,
/// and throws IoError or ConfigError.
struct QueryOptions {
  std::string checkpoint;
  std::string vocabulary;
  std::string precision = "fp32";
  std::string dataset_type =
      "auto";  // type of the source of search and embed; "images" or "folder": all images below it
  std::string text_encoding = "utf-8";  // embed: of captions that are not UTF-8 (parse_text_encoding)
  std::string output;                   // classify and search: a file of JSON lines; embed: STEM, see query_embed
  int64_t batch_size = 64;
  int64_t top = 5;                // number of answers shown
  Device device = Device::cpu();  // where the model computes
};

/// Prints the most probable labels of each image. A model of pretrain takes the softmax over the labels of cosine times
/// logit scale; `labels` is a file with one class per line, synonyms separated by `;`; `templates` is a file with one
/// prompt per line, {c} for the class, or empty. A classifier of finetune takes the softmax over its own classes;
/// `labels` and `templates` must be empty.
int query_classify(const QueryOptions& options, const std::vector<std::string>& images, const std::string& labels,
                   const std::string& templates);

/// Prints the images nearest to a text. `source` is an image, a folder of images, shards, a table, or a file
/// STEM.images.npy of query_embed, which saves reading the images again.
int query_search(const QueryOptions& options, const std::string& text, const std::string& source);

/// Writes L2-normalised embeddings of a source's images to STEM.images.npy and their names to STEM.images.txt. The
/// embeddings of captions, where there are any, go to STEM.texts.npy; STEM.texts.tsv holds the row of the image and the
/// caption. A source that ends in .txt is a list of texts. A model without a text encoder gives its backbone features
/// and no texts.
int query_embed(const QueryOptions& options, const std::string& source);

}  // namespace tessera::rils
