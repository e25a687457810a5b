#pragma once

#include <string>
#include <vector>

namespace tessera::rils {

/// Using a trained model. All functions print for a person, write `output` whole or not at all, and return the exit
/// code; they throw IoError or ConfigError.
struct QueryOptions {
  std::string checkpoint;
  std::string vocabulary;
  std::string precision = "fp32";
  std::string dataset_type = "auto";  // of the sources of search and embed; folder: all pictures below it
  std::string output;                 // of classify and search: JSON lines; of embed: the stem of its files
  int64_t batch_size = 256;
  int64_t top = 5;  // answers shown
};

/// The most probable labels of each image. A model of pretrain: softmax over the labels of the cosine times the model's
/// logit scale; `labels`: a file with a class a line, synonyms separated by `;`; `templates`: a prompt a line, {c} for
/// the class. A classifier of finetune: softmax over its own classes; labels and templates are empty.
int query_classify(const QueryOptions& options, const std::vector<std::string>& images, const std::string& labels,
                   const std::string& templates);

/// The images nearest to a text. `source`: an image, a folder of images, shards or a table, or what query_embed wrote
/// (STEM.images.npy), which saves reading the images again.
int query_search(const QueryOptions& options, const std::string& text, const std::string& source);

/// L2-normalised embeddings of a source's images to STEM.images.npy with their names in STEM.images.txt; where it has
/// captions, these too: STEM.texts.npy and STEM.texts.tsv with the image's row and the caption. A source that ends in
/// .txt is a list of texts. A model without a text encoder gives its backbone features, and no texts.
int query_embed(const QueryOptions& options, const std::string& source);

}  // namespace tessera::rils
