#include "core/comm/communicator.h"

#include "core/comm/agree.h"
#include "core/comm/mpi_communicator.h"
#include "core/error.h"
#include "tests/support/thread_communicator.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <fstream>
#include <set>
#include <string>
#include <thread>

// Runs as a program of one process and under mpirun, where each rank runs every test: see
// CMakeLists.txt.

namespace assay {
namespace {

const MpiSession* mpi = nullptr;

std::vector<std::byte> filled(std::size_t size, int value) {
  return std::vector<std::byte>(size, static_cast<std::byte>(value));
}

// What communicator.h promises, seen from one rank.
void expect_collectives_to_work(Communicator& comm) {
  const int size = comm.world_size();
  const int rank = comm.rank();
  at::Tensor counts = at::full({5}, rank + 1, at::kLong);
  comm.all_reduce(counts, ReduceOp::kSum);
  EXPECT_TRUE(counts.equal(at::full({5}, size * (size + 1) / 2, at::kLong)));
  for (const auto type : {at::kFloat, at::kDouble, at::kInt, at::kByte}) {
    at::Tensor largest = at::full({3}, rank, type);
    comm.all_reduce(largest, ReduceOp::kMax);
    EXPECT_TRUE(largest.equal(at::full({3}, size - 1, type)));
  }

  const int root = size - 1;
  std::vector<std::byte> message = filled(11, rank == root ? 7 : 0);
  comm.broadcast(message, root);
  EXPECT_EQ(message, filled(11, 7));

  const auto gathered = comm.all_gather(filled(rank * 3, rank));  // Rank 0 has nothing.
  ASSERT_EQ(gathered.size(), size);
  for (int from = 0; from < size; ++from) EXPECT_EQ(gathered[from], filled(from * 3, from));

  std::vector<std::vector<std::byte>> parts;
  for (int to = 0; to < size; ++to) parts.push_back(filled(to + 1, 10 * rank + to));
  const auto received = comm.all_to_all(parts);
  ASSERT_EQ(received.size(), size);
  for (int from = 0; from < size; ++from) {
    EXPECT_EQ(received[from], filled(rank + 1, 10 * from + rank));
  }
  comm.barrier();
}

TEST(SingleCommunicator, IsAWorldOfOne) {
  SingleCommunicator comm;
  expect_collectives_to_work(comm);
}

TEST(ThreadCommunicator, DoesWhatTheInterfacePromises) {
  for (int ranks = 1; ranks <= 4; ++ranks) run_on_threads(ranks, expect_collectives_to_work);
}

TEST(ThreadCommunicator, FreesTheRanksThatWaitForOneThatFailed) {
  const auto run = [] {
    run_on_threads(3, [](Communicator& comm) {
      if (comm.rank() == 1) throw JobError("rank 1 is out");
      comm.barrier();
    });
  };
  EXPECT_THAT(run, ::testing::ThrowsMessage<JobError>("rank 1 is out"));
}

TEST(FailureOf, EndsTheGangAfterAnErrorOfCudaAndOnlyTheJobAfterOneOfMemory) {
  const c10::SourceLocation here{__func__, __FILE__, 1};
  EXPECT_THAT(
      [&] {
        (void)failure_of([&] { throw c10::AcceleratorError(here, 700, "illegal memory access"); });
      },
      ::testing::ThrowsMessage<CommError>(::testing::HasSubstr("illegal memory access")));
  EXPECT_THAT(failure_of([&] { throw c10::OutOfMemoryError(here, "CUDA out of memory"); }),
              ::testing::HasSubstr("out of memory"));
}

TEST(MpiCommunicator, DoesWhatTheInterfacePromises) { expect_collectives_to_work(*mpi->world()); }

TEST(MpiCommunicator, SendsLongDataInPieces) {
  expect_collectives_to_work(*mpi->world(/*max_message_bytes=*/2));
  const auto comm = mpi->world(/*max_message_bytes=*/1000);
  const auto gathered = comm->all_gather(filled(100'001, comm->rank()));
  for (int from = 0; from < comm->world_size(); ++from) {
    EXPECT_EQ(gathered[from], filled(100'001, from));
  }
}

TEST(MpiCommunicator, SplitsTheWorldIntoGangs) {
  const auto world = mpi->world();
  const auto gang = mpi->split(world->rank() / 2);
  EXPECT_EQ(gang->rank(), world->rank() % 2);
  expect_collectives_to_work(*gang);
  const auto alone = mpi->split(world->rank() == 0 ? 0 : -1);
  EXPECT_EQ(alone != nullptr, world->rank() == 0);
}

TEST(MpiCommunicator, RunsTwoCommunicatorsFromTwoThreads) {
  if (mpi->thread_level() != "multiple") GTEST_SKIP() << "MPI grants " << mpi->thread_level();
  const auto work = mpi->world();
  const auto control = mpi->world();
  std::jthread beside([&] {
    for (int i = 0; i < 50; ++i) expect_collectives_to_work(*control);
  });
  for (int i = 0; i < 50; ++i) expect_collectives_to_work(*work);
}

TEST(MpiCommunicator, TurnsAnErrorOfMpiIntoACommErrorWithItsText) {
  const auto comm = mpi->world();
  std::vector<std::byte> bytes(4);
  EXPECT_THAT([&] { comm->broadcast(bytes, /*root=*/99); },
              ::testing::ThrowsMessage<CommError>(::testing::AllOf(
                  ::testing::StartsWith("MPI_Bcast failed: "), ::testing::HasSubstr("root"))));
}

TEST(MpiCommunicator, RefusesWhatItCannotReduce) {
  const auto comm = mpi->world();
  at::Tensor strided = at::zeros({4, 4}).t();
  EXPECT_THROW(comm->all_reduce(strided, ReduceOp::kSum), std::invalid_argument);
  at::Tensor half = at::zeros({4}, at::kHalf);
  EXPECT_THROW(comm->all_reduce(half, ReduceOp::kSum), std::invalid_argument);
  EXPECT_THROW((void)comm->all_to_all(std::vector<std::vector<std::byte>>(17)),
               std::invalid_argument);
}

TEST(MpiSession, StartsOnceAProcess) {
  EXPECT_THAT([] { const MpiSession second; },
              ::testing::ThrowsMessage<CommError>(::testing::HasSubstr("started before")));
}

TEST(AProgramWithTorchAndMpi, LoadsOneOpenMpRuntime) {
  at::zeros({100'000}).exp();  // Whatever loads lazily.
  std::set<std::string> runtimes;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto path = line.find('/');
    if (path == std::string::npos) continue;
    if (line.find("libgomp") != std::string::npos || line.find("libiomp") != std::string::npos ||
        line.find("libomp") != std::string::npos) {
      runtimes.insert(line.substr(path));
    }
  }
  EXPECT_EQ(runtimes.size(), 1U) << ::testing::PrintToString(runtimes);
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  const assay::MpiSession session;
  assay::mpi = &session;
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
