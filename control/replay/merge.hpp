// Merge: the frames of several captures as one stream in time order. Of frames with the same time, those of the
// input that was named first come first; of one input, in the order they have in it.
#pragma once

#include <cstddef>
#include <vector>

#include "control/replay/capture.hpp"

namespace sluice::control {

class Merge {
 public:
  explicit Merge(std::vector<Capture> inputs);

  struct Next {
    const CapturedFrame* frame;  ///< null at the end; valid until the next call
    std::size_t input;           ///< its index
  };
  [[nodiscard]] Next next();

 private:
  std::vector<Capture> inputs_;
  std::vector<const CapturedFrame*> heads_;  ///< the next frame of each, null at its end
  std::size_t last_;                         ///< whose head was given out
};

}  // namespace sluice::control
