#pragma once

#include <string>
#include <vector>

#include "rils/config/config.h"
#include "rils/picture/overview.h"

namespace tessera::rils {

/// Options of heatmap, reconstruction and retrievals.
struct PictureOptions {
  std::string checkpoint;
  std::string vocabulary;
  std::string image;                   // file
  std::vector<std::string> sentences;  // "@FILE" stands for the lines of a file
  std::string data;                    // retrievals: images with captions
  std::string out;                     // .svg, or .png with rsvg-convert
  double temperature = 0;              // heat maps; 0: the checkpoint's teacher temperature
  int64_t seed = 0;                    // draws the mask
  int count = 4;                       // retrievals: number of best and of worst ones
};

/// The functions below return the exit code and throw IoError or ConfigError. These three draw a sheet of sheets.h:
int draw_heat_maps(const PictureOptions& options);
int draw_reconstruction(const PictureOptions& options);
int draw_retrievals(const PictureOptions& options);
/// Prints a survey of data.train_data and data.val_data, the images that are in both, and the loader's rate. `montage`
/// names a drawing of some training samples; empty: none.
int inspect_data(const Config& config, const std::string& montage);
/// Draws the curves of one or several runs.
int draw_curves(const std::vector<std::string>& runs, const std::string& out);

struct ReportOptions {
  std::string run;
  std::vector<std::string> compare;      // pre-training runs to compare with
  std::vector<std::string> classifiers;  // runs of finetune
  std::string out;                       // empty: report.html in the run's folder
};
/// Writes an HTML page (see report.h).
int write_report(const ReportOptions& options);
/// Prints the table of results (see results.h).
int print_results(const ReportOptions& options);
/// Draws the overview of a run. Empty `out`: pictures/sheet.svg in the run's folder, where the report finds it.
int draw_overview(const OverviewOptions& options, const std::string& out);

}  // namespace tessera::rils
