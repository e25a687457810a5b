// Tensors, their views and layouts; ragged rows; row indices.
#include <gtest/gtest.h>

#include <numeric>

#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/rows.h"
#include "engine/tensor/tensor.h"

namespace tessera {
namespace {

Tensor counting(const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  std::iota(values.begin(), values.end(), 0.0f);
  return Tensor::from(values, shape);
}

std::vector<float> elements(const Tensor& t) {
  const Tensor dense = contiguous(t);
  return {dense.data<float>().begin(), dense.data<float>().end()};
}

TEST(Tensors, AreMadeFromShapesAndValues) {
  EXPECT_FALSE(Tensor());
  EXPECT_EQ(describe(Tensor()), "(absent)");
  const Tensor t = counting({2, 3});
  EXPECT_EQ(describe(t), "f32 [2,3]");
  EXPECT_EQ(t.bytes(), 24u);
  EXPECT_EQ(Tensor::full({}, 2.5, DType::bf16).item(), 2.5);
  EXPECT_EQ(Tensor::zeros({2}, DType::i32).data<int32_t>()[1], 0);
  EXPECT_EQ(Tensor::empty({0, 5}).numel(), 0);
  EXPECT_THROW((void)Tensor::from(std::vector<float>{1, 2}, {3}), ShapeError);
  EXPECT_THROW((void)Tensor::empty({2, -1}), ShapeError);
}

TEST(Tensors, ShareMemoryWhenCopied) {
  const Tensor a = counting({4});
  EXPECT_TRUE(a.unique());
  const Tensor b = a;
  EXPECT_FALSE(a.unique());
  b.data<float>()[2] = 9;
  EXPECT_EQ(a.data<float>()[2], 9);
  const Tensor c = clone(a);
  c.data<float>()[2] = 1;
  EXPECT_EQ(a.data<float>()[2], 9);
}

TEST(Tensors, RowsOfSeveralAreConcatenated) {
  EXPECT_FALSE(concatenate_rows({}));
  const std::vector<Tensor> parts = {counting({2, 3}), Tensor::empty({0, 3}), counting({1, 3})};
  const Tensor all = concatenate_rows(parts);
  ASSERT_EQ(all.shape(), (Shape{3, 3}));
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(all.data<float>()[i], i < 6 ? parts[0].data<float>()[i] : parts[2].data<float>()[i - 6]);
  }
}

TEST(Tensors, ViewsLookIntoTheSameMemory) {
  const Tensor t = counting({3, 4});
  EXPECT_EQ(elements(t.slice(1, 1, 2)), (std::vector<float>{1, 2, 5, 6, 9, 10}));
  EXPECT_EQ(elements(t.slice(-2, 2, 1)), (std::vector<float>{8, 9, 10, 11}));
  EXPECT_EQ(elements(t.transpose(0, 1)), (std::vector<float>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
  EXPECT_EQ(t.reshape({2, -1}).shape(), (Shape{2, 6}));
  EXPECT_EQ(t.slice(0, 1, 2).reshape({8}).data<float>()[0], 4);
  t.slice(0, 1, 1).data<float>()[0] = -1;
  EXPECT_EQ(t.data<float>()[4], -1);
  EXPECT_EQ(t.slice(0, 3, 0).numel(), 0);
}

TEST(Tensors, KnowWhetherTheyAreContiguous) {
  const Tensor t = counting({3, 4});
  EXPECT_TRUE(t.is_contiguous());
  EXPECT_TRUE(t.slice(0, 1, 2).is_contiguous());
  EXPECT_FALSE(t.slice(1, 0, 2).is_contiguous());
  EXPECT_FALSE(t.transpose(0, 1).is_contiguous());
  EXPECT_TRUE(counting({3, 1}).transpose(0, 1).is_contiguous()) << "extents of 1 have no stride to speak of";
  EXPECT_TRUE(t.slice(1, 0, 0).is_contiguous()) << "nothing in it";
  EXPECT_EQ(contiguous(t).pointer(), t.pointer()) << "no copy where none is needed";
}

TEST(Tensors, RefuseLayoutsThatDoNotFit) {
  const Tensor t = counting({3, 4});
  EXPECT_THROW((void)t.reshape({5, 2}), ShapeError);
  EXPECT_THROW((void)t.reshape({-1, 5}), ShapeError);
  EXPECT_THROW((void)t.transpose(0, 1).reshape({12}), ShapeError);
  EXPECT_THROW((void)t.slice(0, 2, 2), ShapeError);
  EXPECT_THROW((void)t.slice(0, -1, 2), ShapeError);
  EXPECT_THROW((void)t.slice(2, 0, 1), ShapeError);
  EXPECT_THROW((void)t.transpose(0, 2), ShapeError);
}

TEST(Tensors, GiveTheirElementsOnlyAsTheyAre) {
  const Tensor t = counting({3, 4});
  EXPECT_THROW((void)t.data<double>(), DTypeError);
  EXPECT_THROW((void)t.transpose(0, 1).data<float>(), ShapeError);
  EXPECT_THROW((void)Tensor().data<float>(), ShapeError);
  EXPECT_THROW((void)t.item(), ShapeError);
  EXPECT_THROW((void)Tensor().item(), ShapeError);
  EXPECT_EQ(t.slice(0, 1, 1).slice(1, 2, 1).item(), 6);
}

TEST(Tensors, GiveViewsForKernels) {
  const View v = counting({3, 4}).slice(1, 1, 2);
  EXPECT_EQ(v.rank, 2);
  EXPECT_EQ(v.size(-1), 2);
  EXPECT_EQ(v.stride(0), 4);
  EXPECT_EQ(v.numel(), 6);
  EXPECT_FALSE(Tensor().view());
  EXPECT_TRUE(Tensor::empty({0}).view()) << "empty is not absent";
}

TEST(Tensors, PrintAFewElements) {
  EXPECT_EQ(print(counting({2, 3})), "f32 [2,3] [[0, 1, 2],\n [3, 4, 5]]");
  EXPECT_EQ(print(counting({2, 3}).transpose(0, 1)), "f32 [3,2] [[0, 3],\n [1, 4],\n [2, 5]]");
  EXPECT_EQ(print(counting({5}), 2), "f32 [5] [0, 1, …]");
  EXPECT_EQ(print(Tensor::full({}, 0.5)), "f32 [] 0.5");
  EXPECT_EQ(print(Tensor()), "(absent)");
}

TEST(SegmentTables, KnowTheirRows) {
  const SegmentTable t(std::vector<int64_t>{3, 0, 5});
  EXPECT_EQ(t.count(), 3);
  EXPECT_EQ(t.rows(), 8);
  EXPECT_EQ(t.max_len(), 5);
  EXPECT_EQ(t.begin(2), 3);
  EXPECT_EQ(t.end(1), 3);
  const Segments s = t.on(Device::cpu());
  EXPECT_EQ(s.rows(), 8);
  EXPECT_EQ(s.end(2), 8);
  const SegmentTable u = SegmentTable::uniform(4, 7);
  EXPECT_EQ(u.rows(), 28);
  EXPECT_EQ(u.begin(3), 21);
  EXPECT_EQ(SegmentTable().count(), 0);
  EXPECT_EQ(SegmentTable().rows(), 0);
  EXPECT_EQ(SegmentTable(std::vector<int64_t>{}).rows(), 0);
  EXPECT_THROW(SegmentTable(std::vector<int64_t>{1, -1}), ShapeError);
}

TEST(RowIndices, CarryAStableSortingOrder) {
  const std::vector<int32_t> entries{4, -1, 0, 4, 2, -1, 0};
  const RowIndex index(entries, 5);
  EXPECT_EQ(index.rows(), 7);
  EXPECT_TRUE(index.has_fill());
  const auto order = index.order().data<int32_t>();
  EXPECT_EQ(std::vector<int32_t>(order.begin(), order.end()), (std::vector<int32_t>{1, 5, 2, 6, 4, 0, 3}));
  const RowIndex fill = index.fill_rows();
  const auto rows = fill.index().data<int32_t>();
  EXPECT_EQ(std::vector<int32_t>(rows.begin(), rows.end()), (std::vector<int32_t>{-1, 0, -1, -1, -1, 0, -1}));
  EXPECT_EQ(fill.source_rows(), 1);
}

TEST(RowIndices, AreCheckedAtOnce) {
  EXPECT_THROW(RowIndex(std::vector<int32_t>{0, 5}, 5), ShapeError);
  EXPECT_THROW(RowIndex(std::vector<int32_t>{-2}, 5), ShapeError);
  const RowIndex empty(std::vector<int32_t>{}, 0);
  EXPECT_TRUE(empty);
  EXPECT_EQ(empty.rows(), 0);
  EXPECT_FALSE(RowIndex());
  EXPECT_FALSE(RowIndex(std::vector<int32_t>{0, 1}, 2).has_fill());
}

/// A message names the op, the operand, what was found and what was expected.
TEST(Messages, SayWhatWhereExpectedFound) {
  try {
    copy_into(counting({2, 3}), counting({3, 2}));
    FAIL();
  } catch (const ShapeError& e) {
    EXPECT_STREQ(e.what(), "copy: y has shape [3,2], expected [2,3] (the shape of x)");
  }
  try {
    (void)binary(Binary::add, counting({2}), Tensor::zeros({2}, DType::i32));
    FAIL();
  } catch (const DTypeError& e) {
    EXPECT_STREQ(e.what(), "binary: b is i32, expected f32 or bf16");
  }
}

}  // namespace
}  // namespace tessera
