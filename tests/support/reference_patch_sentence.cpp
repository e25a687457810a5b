#include <cmath>

#include "tests/support/reference.h"

namespace tessera::test::reference {
namespace {

/// Logits of row r against every sentence.
std::vector<double> row_logits(const Array& rows, const Array& sentences, int64_t r, double temperature) {
  std::vector<double> logits;
  for (int64_t j = 0; j < sentences.size(0); ++j) {
    double sum = 0;
    for (int64_t e = 0; e < rows.size(1); ++e) sum += rows(r, e) * sentences(j, e);
    logits.push_back(sum / temperature);
  }
  return logits;
}

void forward(Context&, const PatchSentenceArgs& args) {
  const Array student(args.student);
  const Array teacher(args.teacher);
  const Array sentences(args.sentences);
  const Array weight(args.weight);
  Array loss({student.size(0)});
  Array lse_student({student.size(0)});
  Array lse_teacher({student.size(0)});
  for (int64_t r = 0; r < student.size(0); ++r) {
    const auto a = row_logits(student, sentences, r, args.student_temperature);
    const auto b = row_logits(teacher, sentences, r, args.teacher_temperature);
    lse_student(r) = log_sum_exp(a);
    lse_teacher(r) = log_sum_exp(b);
    for (size_t j = 0; j < a.size(); ++j) {
      const double log_p = b[j] - lse_teacher(r);
      loss(r) += weight(r) * std::exp(log_p) * (log_p - (a[j] - lse_student(r)));
    }
  }
  write(loss, args.loss);
  write(lse_student, args.lse_student);
  write(lse_teacher, args.lse_teacher);
}

void backward(Context&, const PatchSentenceGradArgs& args) {
  const Array student(args.student);
  const Array teacher(args.teacher);
  const Array sentences(args.sentences);
  const Array weight(args.weight);
  const Array lse_student(args.lse_student);
  const Array lse_teacher(args.lse_teacher);
  const double dloss = Array(args.dloss).values()[0];
  Array dstudent(student.shape());
  Array dsentences(sentences.shape());
  for (int64_t r = 0; r < student.size(0); ++r) {
    const double c = dloss * weight(r) / args.student_temperature;
    const auto a = row_logits(student, sentences, r, args.student_temperature);
    const auto b = row_logits(teacher, sentences, r, args.teacher_temperature);
    for (int64_t j = 0; j < sentences.size(0); ++j) {
      const auto at = static_cast<size_t>(j);
      const double d = c * (std::exp(a[at] - lse_student(r)) - std::exp(b[at] - lse_teacher(r)));
      for (int64_t e = 0; e < student.size(1); ++e) {
        dstudent(r, e) += d * sentences(j, e);
        dsentences(j, e) += d * student(r, e);
      }
    }
  }
  write(dstudent, args.dstudent, args.student_mode);
  write(dsentences, args.dsentences, args.sentences_mode);
}

}  // namespace

const PatchSentenceKernels kPatchSentence{.forward = forward, .backward = backward};

}  // namespace tessera::test::reference
