#include <cmath>
#include <limits>

#include "tests/support/reference.h"

namespace tessera::test::reference {
namespace {

double log_sum_exp(const std::vector<double>& x) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const double v : x) largest = std::max(largest, v);
  double sum = 0;
  for (const double v : x) sum += std::exp(v - largest);
  return largest + std::log(sum);
}

void cross_entropy(Context&, const CrossEntropyArgs& a) {
  const Array logits(a.logits);
  const Array labels(a.labels);
  Array loss({logits.size(0)});
  Array lse({logits.size(0)});
  Array argmax({logits.size(0)});
  for (int64_t r = 0; r < logits.size(0); ++r) {
    std::vector<double> row;
    int64_t best = 0;
    for (int64_t j = 0; j < logits.size(1); ++j) {
      row.push_back(logits(r, j));
      if (logits(r, j) > logits(r, best)) best = j;
    }
    lse(r) = log_sum_exp(row);
    loss(r) = lse(r) - logits(r, static_cast<int64_t>(labels(r)));
    argmax(r) = static_cast<double>(best);
  }
  write(loss, a.loss);
  write(lse, a.lse);
  write(argmax, a.argmax);
}

void cross_entropy_grad(Context&, const CrossEntropyGradArgs& a) {
  Array logits(a.logits);
  const Array labels(a.labels);
  const Array lse(a.lse);
  const double factor = a.factor * Array(a.dloss).values()[0];
  for (int64_t r = 0; r < logits.size(0); ++r) {
    for (int64_t j = 0; j < logits.size(1); ++j) {
      const double hit = j == static_cast<int64_t>(labels(r)) ? 1 : 0;
      logits(r, j) = factor * (std::exp(logits(r, j) - lse(r)) - hit);
    }
  }
  write(logits, a.dlogits, a.mode);
}

void soft_cross_entropy(Context&, const SoftCrossEntropyArgs& a) {
  const Array logits(a.logits);
  const Array targets(a.targets);
  Array loss({logits.size(0)});
  Array lse({logits.size(0)});
  for (int64_t r = 0; r < logits.size(0); ++r) {
    std::vector<double> row;
    for (int64_t j = 0; j < logits.size(1); ++j) row.push_back(logits(r, j));
    lse(r) = log_sum_exp(row);
    loss(r) = lse(r);
    for (int64_t j = 0; j < logits.size(1); ++j) loss(r) -= targets(r, j) * logits(r, j);
  }
  write(loss, a.loss);
  write(lse, a.lse);
}

void soft_cross_entropy_grad(Context&, const SoftCrossEntropyGradArgs& a) {
  Array logits(a.logits);
  const Array targets(a.targets);
  const Array lse(a.lse);
  const double factor = a.factor * Array(a.dloss).values()[0];
  for (int64_t r = 0; r < logits.size(0); ++r) {
    for (int64_t j = 0; j < logits.size(1); ++j) {
      logits(r, j) = factor * (std::exp(logits(r, j) - lse(r)) - targets(r, j));
    }
  }
  write(logits, a.dlogits, a.mode);
}

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

void patch_sentence(Context&, const PatchSentenceArgs& args) {
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

void patch_sentence_grad(Context&, const PatchSentenceGradArgs& args) {
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

const LossKernels kLoss{.cross_entropy = cross_entropy,
                        .cross_entropy_grad = cross_entropy_grad,
                        .soft_cross_entropy = soft_cross_entropy,
                        .soft_cross_entropy_grad = soft_cross_entropy_grad,
                        .patch_sentence = patch_sentence,
                        .patch_sentence_grad = patch_sentence_grad};

}  // namespace tessera::test::reference
