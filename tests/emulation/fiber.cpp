#include "tests/emulation/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace tessera::emulation {

namespace {

constexpr size_t kGuard = 4096;

}  // namespace

#if defined(__SANITIZE_ADDRESS__)
thread_local Fiber* Fiber::came_from = nullptr;
#endif

#if defined(__x86_64__)

// Saves the registers that a callee keeps, and takes those of the other stack. A jump, not a return: all lanes of a
// warp go on at the same place, which the predictor of indirect jumps knows.
asm(R"(
.text
.globl tessera_emulation_switch
.hidden tessera_emulation_switch
.type tessera_emulation_switch, @function
tessera_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmp *%rcx
.size tessera_emulation_switch, .-tessera_emulation_switch
)");

#endif

Fiber::Fiber(size_t bytes, unsigned number, void (*entry)())
    : bytes_((bytes + kGuard - 1) / kGuard * kGuard), shift_(number % 32 * 128), entry_(entry) {
  void* const memory = mmap(nullptr, kGuard + bytes_, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kGuard, PROT_NONE);
  stack_ = static_cast<char*>(memory) + kGuard;
#if defined(TESSERA_EMULATOR_TSAN)
  identity_ = __tsan_create_fiber(0);
#endif
#if defined(__x86_64__)
  // What tessera_emulation_switch takes: six registers, where to go, and a return address of nobody.
  constexpr int kRegisters = 6;
  auto** slot = reinterpret_cast<void**>(stack_ + bytes_ - shift_ - 64);
  *--slot = nullptr;
  *--slot = reinterpret_cast<void*>(entry_);
  for (int i = 0; i < kRegisters; ++i) *--slot = nullptr;
  top_ = slot;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = bytes_ - shift_;
  context_.uc_link = nullptr;
  makecontext(&context_, entry_, 0);
#endif
}

Fiber::~Fiber() {
  if (entry_ == nullptr) return;
  allow(stack_, bytes_);
#if defined(TESSERA_EMULATOR_TSAN)
  __tsan_destroy_fiber(identity_);
#endif
  munmap(stack_ - kGuard, kGuard + bytes_);
}

void Fiber::become_host() {
#if defined(TESSERA_EMULATOR_TSAN)
  identity_ = __tsan_get_current_fiber();
#endif
}

void Fiber::learn([[maybe_unused]] const void* stack, [[maybe_unused]] size_t bytes) {
  if (entry_ != nullptr) return;
  stack_ = const_cast<char*>(static_cast<const char*>(stack));
  bytes_ = bytes;
}

void Fiber::arrive() {
#if defined(__SANITIZE_ADDRESS__)
  const void* stack = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &stack, &bytes);
  came_from->learn(stack, bytes);
#endif
}

}  // namespace tessera::emulation
