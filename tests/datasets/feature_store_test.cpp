#include "datasets/feature_store.h"

#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "tests/support/temporary_folder.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <random>
#include <thread>

namespace assay {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

const nlohmann::json kFields = {{"encoder", "abc"}, {"image_size", 128}, {"layers", {2, 4}}};

ShardLayout layout_of(std::int64_t num_images, std::int64_t patches = 9) {
  ShardLayout layout{.feature_key = feature_key(kFields),
                     .key_fields = kFields,
                     .streams = 2,
                     .layers = 1,
                     .patches = patches,
                     .channels = 8,
                     .shard = 1,
                     .num_shards = 3,
                     .image_sha256 = {}};
  for (std::int64_t i = 0; i < num_images; ++i) {
    layout.image_sha256.push_back(sha256(std::to_string(i)));
  }
  return layout;
}

/// A record that its index alone determines.
FeatureRecord record_of(const ShardLayout& layout, std::int64_t index) {
  const auto fill = [&](at::IntArrayRef sizes) {
    at::Tensor tensor = at::empty(sizes);
    float* value = tensor.data_ptr<float>();
    for (std::int64_t i = 0; i < tensor.numel(); ++i) {
      value[i] = static_cast<float>((index * 131 + i * 17 + 1) % 1009) / 64.0F;
    }
    return tensor;
  };
  return {
      .patch = fill({layout.streams, layout.layers, layout.patches, layout.channels}).to(at::kHalf),
      .norm = fill({layout.streams, layout.layers, layout.patches}),
      .global = fill({layout.channels})};
}

bool equal(const FeatureRecord& a, const FeatureRecord& b) {
  return at::equal(a.patch, b.patch) && at::equal(a.norm, b.norm) && at::equal(a.global, b.global);
}

void write_shard(const fs::path& path, const ShardLayout& layout) {
  FeatureShardWriter writer(path, layout);
  for (std::size_t i = 0; i < layout.image_sha256.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    if (!writer.is_done(index)) writer.write(index, record_of(layout, index));
  }
  writer.finish();
}

/// A folder with one complete shard of 5 images.
class StoredShard : public ::testing::Test {
 protected:
  StoredShard() { write_shard(path_, layout_); }

  [[nodiscard]] FeatureShard open() const { return {path_, layout_.feature_key, kFields}; }
  auto opening() const {
    return [this] { (void)open(); };
  }

  TemporaryFolder folder_;
  fs::path path_ = folder_ / "key/set/test.1-of-3.h5";
  ShardLayout layout_ = layout_of(5);
};

TEST_F(StoredShard, GivesBackWhatWasWritten) {
  const FeatureShard shard = open();
  ASSERT_EQ(shard.size(), 5);
  EXPECT_EQ(shard.image_sha256(), layout_.image_sha256);
  for (std::int64_t i = 0; i < 5; ++i) EXPECT_TRUE(equal(shard.record(i), record_of(layout_, i)));
  EXPECT_EQ(shard.first_corrupt(), -1);
  EXPECT_THROW((void)shard.record(5), std::out_of_range);
  EXPECT_THROW((void)shard.record(-1), std::out_of_range);
}

TEST_F(StoredShard, LeavesNothingBeside) {
  EXPECT_EQ(std::distance(fs::directory_iterator(path_.parent_path()), {}), 1);
}

TEST_F(StoredShard, IsViewedWithoutACopy) {
  const FeatureShard shard = open();
  EXPECT_EQ(shard.record(3).patch.data_ptr(), shard.record(3).patch.data_ptr());
}

TEST_F(StoredShard, CanBeReadByOtherTools) {
  if (std::system("h5dump --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "h5dump is missing";
  const fs::path output = folder_ / "dump";
  const std::string command = "h5dump -d /global -s 2,0 -c 1,4 -a /complete -a /feature_key " +
                              path_.string() + " > " + output.string();
  ASSERT_EQ(std::system(command.c_str()), 0);
  const at::Tensor global = record_of(layout_, 2).global;
  EXPECT_THAT(read_file(output),
              AllOf(HasSubstr("H5T_IEEE_F32LE"), HasSubstr(layout_.feature_key),
                    HasSubstr(fmt::format("(2,0): {:.6g}, {:.6g}", global[0].item<float>(),
                                          global[1].item<float>()))));
}

TEST_F(StoredShard, OfAnotherKeyIsRefusedWithTheFieldThatDiffers) {
  nlohmann::json fields = kFields;
  fields["image_size"] = 518;
  EXPECT_THAT([&] { FeatureShard(path_, feature_key(fields), fields); },
              ThrowsMessage<DataError>(AllOf(HasSubstr(path_.string()),
                                             HasSubstr("image_size 128, wanted is 518"),
                                             HasSubstr("run 'assay encode' again"))));
  EXPECT_THAT([&] { FeatureShard(path_, feature_key(fields)); },
              ThrowsMessage<DataError>(HasSubstr("feature key " + layout_.feature_key)));
}

TEST_F(StoredShard, WhenCutOffIsRefused) {
  const std::uintmax_t size = fs::file_size(path_);
  for (const std::uintmax_t left : {size - 1, size / 2, std::uintmax_t{700}, std::uintmax_t{0}}) {
    fs::resize_file(path_, left);
    EXPECT_THAT(opening(), ThrowsMessage<DataError>(HasSubstr(path_.string()))) << left;
  }
}

TEST_F(StoredShard, OfAnotherFormatIsRefused) {
  std::string bytes = read_file(path_);
  const std::size_t name = bytes.find("format_version");
  // Name (padded to 16), type and dataspace messages, then the value: the only 1 in 64 bits there.
  const std::size_t value = bytes.find(std::string("\1\0\0\0\0\0\0\0", 8), name + 40);
  bytes[value] = 7;
  write_file_atomically(path_, bytes);
  EXPECT_THAT(opening(), ThrowsMessage<DataError>(HasSubstr("format version 7, this build reads "
                                                            "1; run 'assay encode' again")));
  write_file_atomically(path_, "no HDF5");
  EXPECT_THAT(opening(), ThrowsMessage<DataError>(HasSubstr("cannot be read as HDF5")));
}

TEST_F(StoredShard, ShowsADamagedRecordToFirstCorrupt) {
  const FeatureRecord record = record_of(layout_, 3);
  std::string bytes = read_file(path_);
  const std::string patch(static_cast<const char*>(record.patch.data_ptr()), record.patch.nbytes());
  bytes[bytes.find(patch) + 10] ^= 1;
  write_file_atomically(path_, bytes);
  EXPECT_EQ(open().first_corrupt(), 3);
}

TEST(FeatureShardWriter, DoesNotFinishWithoutEveryRecord) {
  const TemporaryFolder folder;
  const ShardLayout layout = layout_of(3);
  FeatureShardWriter writer(folder / "s.h5", layout);
  writer.write(1, record_of(layout, 1));
  EXPECT_THAT([&] { writer.finish(); },
              ThrowsMessage<DataError>(HasSubstr("record 0 is missing, 2 of 3 in all")));
  EXPECT_FALSE(fs::exists(folder / "s.h5"));
  EXPECT_THAT([&] { FeatureShard(folder / "s.h5.partial", layout.feature_key); },
              ThrowsMessage<DataError>(HasSubstr("not complete")));
}

TEST(FeatureShardWriter, RefusesARecordOfAnotherShape) {
  const TemporaryFolder folder;
  const ShardLayout layout = layout_of(1);
  FeatureShardWriter writer(folder / "s.h5", layout);
  FeatureRecord record = record_of(layout, 0);
  record.patch = record.patch.to(at::kFloat);
  EXPECT_THROW(writer.write(0, record), std::invalid_argument);
  EXPECT_THROW(writer.write(1, record_of(layout, 0)), std::invalid_argument);
}

TEST(FeatureShardWriter, IsTheOnlyOneOfItsShard) {
  const TemporaryFolder folder;
  const FeatureShardWriter first(folder / "s.h5", layout_of(1));
  EXPECT_THAT([&] { FeatureShardWriter(folder / "s.h5", layout_of(1)); },
              ThrowsMessage<DataError>(HasSubstr("another process is writing it")));
}

TEST(FeatureShardWriter, GoesOnWithTheRecordsWhoseChecksumHolds) {
  const TemporaryFolder folder;
  const ShardLayout layout = layout_of(4);
  {
    FeatureShardWriter writer(folder / "s.h5", layout);
    for (const std::int64_t i : {0, 2, 3}) writer.write(i, record_of(layout, i));
  }
  std::string bytes = read_file(folder / "s.h5.partial");
  const at::Tensor norm = record_of(layout, 2).norm;
  bytes[bytes.find(std::string(static_cast<const char*>(norm.data_ptr()), norm.nbytes()))] ^= 1;
  write_file_atomically(folder / "s.h5.partial", bytes);
  FeatureShardWriter writer(folder / "s.h5", layout);
  EXPECT_TRUE(writer.is_done(0));
  EXPECT_FALSE(writer.is_done(1));
  EXPECT_FALSE(writer.is_done(2));  // Its bytes are not those that were written.
  EXPECT_TRUE(writer.is_done(3));
  for (const std::int64_t i : {1, 2}) writer.write(i, record_of(layout, i));
  writer.finish();
  EXPECT_EQ(FeatureShard(folder / "s.h5", layout.feature_key).first_corrupt(), -1);
}

TEST(FeatureShardWriter, StartsAgainWhereThePartialFileIsOfAnotherLayoutOrDamaged) {
  const TemporaryFolder folder;
  const ShardLayout layout = layout_of(2);
  { FeatureShardWriter(folder / "s.h5", layout_of(2, /*patches=*/4)); }
  { EXPECT_FALSE(FeatureShardWriter(folder / "s.h5", layout).is_done(0)); }
  write_file_atomically(folder / "s.h5.partial", "not HDF5");
  write_shard(folder / "s.h5", layout);
  EXPECT_TRUE(
      equal(FeatureShard(folder / "s.h5", layout.feature_key).record(1), record_of(layout, 1)));
}

TEST(FeatureShardWriter, OfAnEmptyShardFinishesAtOnce) {
  const TemporaryFolder folder;
  write_shard(folder / "s.h5", layout_of(0));
  EXPECT_EQ(FeatureShard(folder / "s.h5", layout_of(0).feature_key).size(), 0);
}

TEST(FeatureShardWriter, NamesPathAndRoomWhereTheDiskIsTooSmall) {  // Case C02.
  const TemporaryFolder folder;
  const std::int64_t bytes_per_patch = 2 * 8 * 2;  // Streams, channels, half precision.
  const auto available = static_cast<std::int64_t>(fs::space(folder.path()).available);
  const std::int64_t patches = 2 * available / bytes_per_patch;
  EXPECT_THAT([&] { FeatureShardWriter(folder / "s.h5", layout_of(1, patches)); },
              ThrowsMessage<DataError>(
                  AllOf(HasSubstr("s.h5.partial"), HasSubstr("bytes needed"), HasSubstr(" free"))));
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

// Case F01: what a killed writer leaves is completed by the next one, bit for bit.
TEST(FeatureShardWriter, SurvivesBeingKilledAtAnyMoment) {
  const TemporaryFolder folder;
  const ShardLayout layout = layout_of(50, /*patches=*/400);
  std::vector<FeatureRecord> records;
  for (std::int64_t i = 0; i < 50; ++i) records.push_back(record_of(layout, i));
  const auto write_all = [&](const fs::path& path, std::chrono::microseconds pause) {
    FeatureShardWriter writer(path, layout);
    for (std::size_t i = 0; i < records.size(); ++i) {
      const auto index = static_cast<std::int64_t>(i);
      if (writer.is_done(index)) continue;
      std::this_thread::sleep_for(pause);  // Stands for the encoder.
      writer.write(index, records[i]);
    }
    writer.finish();
  };
  std::mt19937 rng(20240521);
  int num_partial = 0;
  for (int trial = 0; trial < 20; ++trial) {
    const fs::path path = folder / fmt::format("{}.h5", trial);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      write_all(path, std::chrono::microseconds(500));
      ::_exit(0);
    }
    std::this_thread::sleep_for(
        std::chrono::microseconds(std::uniform_int_distribution<int>(0, 60000)(rng)));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    fs::path partial = path;
    num_partial += fs::exists(partial += ".partial") ? 1 : 0;

    if (!fs::exists(path)) write_all(path, {});
    const FeatureShard shard(path, layout.feature_key);
    for (std::int64_t i = 0; i < shard.size(); ++i) {
      ASSERT_TRUE(equal(shard.record(i), records[static_cast<std::size_t>(i)])) << trial;
    }
    ASSERT_EQ(shard.first_corrupt(), -1) << trial;
  }
  EXPECT_GT(num_partial, 0);  // Else no kill hit a writer at work.
}

TEST(ShardPath, NamesKeyDatasetSplitAndShard) {
  EXPECT_EQ(shard_path("features", "key", std::string(64, 'a'), "visa", "test", 2, 8),
            fs::path("features/key/visa-aaaaaaaaaaaaaaaa/test.2-of-8.h5"));
}

}  // namespace
}  // namespace assay
