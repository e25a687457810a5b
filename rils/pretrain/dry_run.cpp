#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/runtime/context.h"
#include "rils/pretrain/setup.h"
#include "rils/pretrain/validation.h"
#include "rils/run/stopwatch.h"
#include "rils/train/figures.h"

namespace tessera::rils {

namespace {

/// "2 validations and 3 saves": what the time of the steps leaves out.
std::string pauses_text(const TrainingSetup& setup, int64_t step) {
  const auto count = [](int64_t n, const char* what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); };
  const auto validations = validations_of(setup.config);
  const int64_t saves = times_left(saves_of(setup.config.run), setup.length(), step);
  if (!validations) return count(saves, "save");
  return fmt::format("{} and {}", count(times_left(*validations, setup.length(), step), "validation"),
                     count(saves, "save"));
}

}  // namespace

int dry_run(TrainingSetup& setup, Console& console) {
  constexpr int kSteps = 3;
  const int64_t made = setup.trainer->steps(), left = setup.total_steps - made;
  if (left <= 0) {
    console.line(fmt::format("expected: nothing, since the run has made {} of {} steps; nothing was written",
                             setup.trainer->steps(), setup.total_steps));
    return 0;
  }
  if (made > 0) {
    console.line(fmt::format("the run would go on after step {} of {}: {} steps, {:.3g} epochs, are left", made,
                             setup.total_steps, left,
                             static_cast<double>(left) / static_cast<double>(setup.steps_per_epoch)));
  }
  Context& device = context(setup.device);
  double best = INFINITY;
  for (int i = 0; i < kSteps; ++i) {
    const Stopwatch watch;
    const StepFigures f = setup.trainer->step(setup.next_micro_batches(console));
    device.backend().synchronize();
    const double seconds = watch.seconds();
    best = std::min(best, seconds);
    console.line(fmt::format("step {}: {:.3f} s, loss {:.4f}", setup.trainer->steps(), seconds, f.losses.loss));
  }
  console.line(fmt::format("expected: {} for {} steps, and the time of {}; peak memory {:.2f} GiB; nothing was written",
                           duration_text(best * static_cast<double>(left)), left, pauses_text(setup, made),
                           static_cast<double>(device.allocator().statistics().peak) / 0x1p30));
  return 0;
}

int overfit_batch(TrainingSetup& setup, Console& console) {
  const auto batch = setup.next_micro_batches(console);
  const Objective& objective = setup.trainer->model().objective();
  // A twentieth of chance; a quarter for pixels, whose noise no model predicts.
  const double share = objective.contrastive || objective.simclr ? 0.05 : 0.25;
  // The run's own schedule may be longer or shorter than this: use its peak rate, after a short rise.
  constexpr int64_t kMostSteps = 2000, kRise = 20;
  double floor = 0;
  for (int64_t step = 1; step <= kMostSteps; ++step) {
    const double rise = std::min(1.0, static_cast<double>(step) / static_cast<double>(kRise));
    const StepFigures f = setup.trainer->step(batch, rise * setup.config.optim.lr);
    if (step % 20 == 0 || step == 1) {
      console.line(fmt::format("step {}: {}", step, terms_text(f.losses, objective)));
    }
    const LeadingTerm leading = leading_term(f.losses, objective, setup.global_batch);
    floor = share * leading.chance;
    if (leading.value < floor) {
      console.line(fmt::format("reached {} {:.4f} below {:.4f} after {} steps: one batch can be learned", leading.name,
                               leading.value, floor, step));
      return 0;
    }
  }
  throw Error(fmt::format("overfit: the loss stayed above {:.4f} for {} steps", floor, kMostSteps));
}

}  // namespace tessera::rils
