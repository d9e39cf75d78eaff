import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.math.BigDecimal;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;

/** The work in Kafka Streams: Peer BROKERS GROUP rocksdb|memory. Prints READY once it runs. */
public final class Peer {
  @JsonIgnoreProperties(ignoreUnknown = true)
  public static final class Line {
    public long id, order, product, quantidade;
    public BigDecimal valor, desconto;
  }

  @JsonIgnoreProperties(ignoreUnknown = true)
  public static final class Product {
    public String name;
  }

  public static final class Named {
    public long order, quantidade;
    public BigDecimal valor, desconto;
    public String name;
  }

  public static final class Total {
    public long linhas, unidades;
    public BigDecimal bruto = BigDecimal.ZERO, desconto = BigDecimal.ZERO, liquido = BigDecimal.ZERO;

    Total with(Named line, int sign) {
      BigDecimal factor = BigDecimal.valueOf(sign);
      linhas += sign;
      unidades += sign * line.quantidade;
      bruto = bruto.add(line.valor.add(line.desconto).multiply(factor));
      desconto = desconto.add(line.desconto.multiply(factor));
      liquido = liquido.add(line.valor.multiply(factor));
      return this;
    }
  }

  private static final ObjectMapper JSON = new ObjectMapper();

  private static <T> Serde<T> serde(Class<T> type) {
    ObjectReader reader = JSON.readerFor(type);
    ObjectWriter writer = JSON.writerFor(type);
    return Serdes.serdeFrom((topic, value) -> {
      try {
        return value == null ? null : writer.writeValueAsBytes(value);
      } catch (Exception error) {
        throw new IllegalStateException(error);
      }
    }, (topic, bytes) -> {
      try {
        return bytes == null ? null : reader.readValue(bytes);
      } catch (Exception error) {
        throw new IllegalStateException(error);
      }
    });
  }

  private static Named named(Line line, Product product) {
    Named named = new Named();
    named.order = line.order;
    named.quantidade = line.quantidade;
    named.valor = line.valor;
    named.desconto = line.desconto;
    named.name = product.name;
    return named;
  }

  private static StreamsBuilder topology(String group) {
    StreamsBuilder builder = new StreamsBuilder();
    Serde<String> keys = Serdes.String();
    KTable<String, byte[]> orders = builder.table(group + ".orders", Consumed.with(keys, Serdes.ByteArray()));
    KTable<String, Line> lines = builder.table(group + ".lines", Consumed.with(keys, serde(Line.class)));
    KTable<String, Product> products = builder.table(group + ".products", Consumed.with(keys, serde(Product.class)));
    KTable<String, Named> joined = lines.join(products, line -> Shop.key(line.product), Peer::named,
        Materialized.with(keys, serde(Named.class)));
    KTable<String, Total> totals = joined
        .groupBy((id, line) -> KeyValue.pair(Shop.key(line.order), line), Grouped.with(keys, serde(Named.class)))
        .aggregate(Total::new, (id, line, total) -> total.with(line, 1), (id, line, total) -> total.with(line, -1),
            Materialized.with(keys, serde(Total.class)));
    totals.join(orders, (total, order) -> total).toStream().to(group + ".totals", Produced.with(keys, serde(Total.class)));
    return builder;
  }

  private static Properties properties(String brokers, String group, String store) {
    Properties properties = new Properties();
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, group);
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
    properties.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("state"));
    properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Integer.getInteger("threads", 2));
    properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, System.getProperty("guarantee", StreamsConfig.EXACTLY_ONCE_V2));
    properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, Integer.getInteger("commit", 100));
    properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, Long.getLong("cache", 64L << 20));
    properties.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
    properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    if (store.equals("memory")) {
      properties.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG, BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class);
    }
    properties.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 20_000);
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG), 50);
    properties.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 20);
    properties.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 512 << 10);
    properties.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128L << 20);
    return properties;
  }

  public static void main(String[] arguments) throws Exception {
    String brokers = arguments[0], group = arguments[1], store = arguments[2];
    Properties properties = properties(brokers, group, store);
    KafkaStreams streams = new KafkaStreams(topology(group).build(properties), properties);
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      Runtime.getRuntime().halt(9);
      return null;
    });
    streams.setStateListener((state, before) -> {
      if (state == KafkaStreams.State.RUNNING) {
        System.out.println("READY");
      }
    });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
    streams.start();
    Thread.sleep(Long.MAX_VALUE);
  }
}
