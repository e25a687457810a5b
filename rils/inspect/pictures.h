#pragma once

#include <string>
#include <vector>

#include "rils/config/config.h"
#include "rils/picture/overview.h"

namespace tessera::rils {

/// What the picture commands of `inspect` are asked with.
struct PictureOptions {
  std::string checkpoint;
  std::string vocabulary;
  std::string image;                   // a file
  std::vector<std::string> sentences;  // or, with @FILE, its lines
  std::string data;                    // images and captions, of retrievals
  std::string out;                     // .svg, or .png through rsvg-convert
  double temperature = 0;              // of the maps; 0: the checkpoint's teacher temperature
  int64_t seed = 0;                    // of the mask
  int count = 4;                       // best and worst retrievals shown
};

/// Draw a sheet (see sheets.h) and return the exit code; throw IoError or ConfigError.
int draw_heat_maps(const PictureOptions& options);
int draw_reconstruction(const PictureOptions& options);
int draw_retrievals(const PictureOptions& options);
/// Prints what data.train_data and data.val_data are, their overlap, and the loader's rate; `montage`: a drawing, or
/// "".
int inspect_data(const Config& config, const std::string& montage);
int draw_curves(const std::vector<std::string>& runs, const std::string& out);
/// Runs, and what is shown beside them.
struct ReportOptions {
  std::string run;
  std::vector<std::string> compare;      // pre-training runs
  std::vector<std::string> classifiers;  // runs of finetune
  std::string out;                       // "": report.html in the run's folder
};
int write_report(const ReportOptions& options);
/// The table of results on standard output.
int print_results(const ReportOptions& options);
/// One sheet to look at first; `out` "": pictures/sheet.svg in the run's folder, where the report finds it.
int draw_overview(const OverviewOptions& options, const std::string& out);

}  // namespace tessera::rils
