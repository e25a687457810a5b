#include "rils/train/checkpoint_files.h"

#include "engine/ops/copy.h"

namespace tessera::rils {

template <class Optimizer>
void save_checkpoint(const CheckpointFiles& files, const nn::ParameterStore& store, const Optimizer& optimizer,
                     nn::Ema* ema, const nn::Metadata& weights_metadata, const nn::Metadata& state_metadata) {
  save_training_state(files.state, store, optimizer, state_metadata);
  if (ema != nullptr) save_weights(files.ema, store, ema->values(), weights_metadata);
  save_weights(files.weights, store, weights_metadata);
}

template <class Optimizer>
nn::Metadata load_checkpoint(const CheckpointFiles& files, nn::ParameterStore& store, Optimizer& optimizer,
                             nn::Ema* ema) {
  load_weights(nn::SafetensorsFile(files.weights), store);
  if (ema != nullptr) {
    // The averages are read through the store, whose values they replace for a moment.
    const Tensor weights = clone(store.values());
    load_weights(nn::SafetensorsFile(files.ema), store);
    copy_into(store.values(), ema->values());
    copy_into(weights, store.values());
    store.mark_written();
  }
  return load_training_state(nn::SafetensorsFile(files.state), store, optimizer);
}

template void save_checkpoint(const CheckpointFiles&, const nn::ParameterStore&, const nn::AdamW&, nn::Ema*,
                              const nn::Metadata&, const nn::Metadata&);
template void save_checkpoint(const CheckpointFiles&, const nn::ParameterStore&, const nn::Lars&, nn::Ema*,
                              const nn::Metadata&, const nn::Metadata&);
template nn::Metadata load_checkpoint(const CheckpointFiles&, nn::ParameterStore&, nn::AdamW&, nn::Ema*);
template nn::Metadata load_checkpoint(const CheckpointFiles&, nn::ParameterStore&, nn::Lars&, nn::Ema*);

}  // namespace tessera::rils
