#pragma once

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/common/config_options.h"
#include "apps/common/program.h"

namespace tessera::apps {

/// What a command line led to.
struct Outcome {
  int code = -1;
  std::string out, err;
  std::optional<rils::Config> config;
};

/// Runs the body as the action of a program with these words, and collects what is printed.
template <class Body>
Outcome typed(std::vector<const char*> words, CLI::App& app, const Body& body) {
  words.insert(words.begin(), "/usr/bin/train");
  Outcome outcome;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  outcome.code = run(app, static_cast<int>(words.size()), words.data(), [&] { return body(outcome); });
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.err = testing::internal::GetCapturedStderr();
  return outcome;
}

/// A program with the options of a configuration and one of its own.
inline Outcome train(const std::vector<const char*>& words, rils::Program program = rils::Program::pretrain) {
  CLI::App app("Trains.");
  set_up(app);
  std::string resume;
  app.add_option("--resume", resume, "a run")->type_name("WHAT")->group("Start");
  const ConfigOptions options(app, program);
  return typed(words, app, [&](Outcome& outcome) {
    outcome.config = resume.empty() ? options.resolve() : options.resolve_resumed(resume);
    return 0;
  });
}

}  // namespace tessera::apps
