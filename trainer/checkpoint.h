#pragma once

#include "core/comm/communicator.h"
#include "registry/method.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace assay {

/// What training must know to go on where it was.
struct TrainState {
  std::int64_t step = 0;                ///< Steps taken, over all epochs.
  std::vector<double> epoch_loss_sums;  ///< Sum of the steps' losses of each epoch begun.
  std::string numerics;                 ///< CPU capability and threads that computed the steps.
  bool mixed_numerics = false;          ///< Not all steps were computed with the same.
  NamedTensors tensors;  ///< float32: parameters, then `adam.m.<name>`, then `adam.v.<name>`.
};

/// The state before the first step: the parameters themselves (not copies) and moments of zero on
/// their device.
[[nodiscard]] TrainState initial_state(const NamedTensors& parameters);

/// Writes `state` atomically. File format 1: safetensors with `state.tensors`, and as metadata
/// `format` (assay-train-state), `format_version`, `identity`, `xxh3` (of all values, in the order
/// of names) and `state`, the rest as JSON.
void save_state(const std::filesystem::path& path,
                const TrainState& state,
                const std::string& identity);

/// Replaces `state`, the values of its tensors in place, by that of a file. Throws DataError, and
/// then leaves `state` as it was, where the file is truncated or damaged, of another identity, or
/// its tensors have other names or shapes.
void load_state(const std::filesystem::path& path, TrainState& state, const std::string& identity);

/// Makes the final state of another training, where it was kept at `from`, the state at `to` of one
/// that does the same steps and more. A state at `to` stays. False where nothing was done; what is
/// wrong with `from` is then named in a warning.
bool continue_from_state(const std::filesystem::path& from,
                         const std::string& from_identity,
                         const std::filesystem::path& to,
                         const std::string& identity);

/// Brings every rank to the state that rank 0 finds at `path`, where there is one of this identity;
/// otherwise to rank 0's `state`. A file that does not do is named in a warning and training starts
/// from the beginning. Leftovers of writes that were killed are removed. Returns whether the state
/// is that of the file. A collective call.
[[nodiscard]] bool resume_state(const std::filesystem::path& path,
                                TrainState& state,
                                const std::string& identity,
                                Communicator& comm);

}  // namespace assay
