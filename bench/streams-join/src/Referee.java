import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.math.BigDecimal;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.function.IntFunction;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Feeds a system and watches what it writes, whatever system it is: Referee fill|watch BROKERS GROUP ORDERS CHANGES.
 * `fill` makes the topics and writes orders, products and lines. `watch` waits until every order has the right total, then
 * changes lines and waits until all are right again; it prints the seconds that both took, and fails if a total is wrong
 * once nothing comes any more.
 */
public final class Referee {
  private static final int PARTITIONS = 4;
  private static final Duration PATIENCE = Duration.ofMinutes(20), QUIET = Duration.ofSeconds(2);
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Properties client = new Properties();
  private final String group;
  private final Shop shop;
  private final long[][] expected;
  private final BitSet right;

  private Referee(String brokers, String group, int orders) {
    client.put("bootstrap.servers", brokers);
    this.group = group;
    this.shop = new Shop(orders);
    this.expected = new long[orders][];
    this.right = new BitSet(orders);
    for (int order = 0; order < orders; order++) {
      expected[order] = shop.total(order);
    }
  }

  public static void main(String[] arguments) throws Exception {
    Referee referee = new Referee(arguments[1], arguments[2], Integer.parseInt(arguments[3]));
    if (arguments[0].equals("fill")) {
      referee.fill();
    } else {
      referee.watch(Integer.parseInt(arguments[4]));
    }
  }

  private void fill() throws Exception {
    try (Admin admin = Admin.create(client); KafkaProducer<String, String> producer = producer()) {
      List<NewTopic> topics = new ArrayList<>();
      for (String name : List.of("orders", "products", "lines", "totals")) {
        topics.add(new NewTopic(group + "." + name, PARTITIONS, (short) 1));
      }
      admin.createTopics(topics).all().get();
      send(producer, "orders", shop.orders, Shop::order);
      send(producer, "products", Shop.PRODUCTS, Shop::product);
      send(producer, "lines", shop.lines, shop::line);
    }
  }

  private void send(KafkaProducer<String, String> producer, String topic, int count, IntFunction<String> value) {
    for (int id = 0; id < count; id++) {
      producer.send(new ProducerRecord<>(group + "." + topic, Shop.key(id), value.apply(id)));
    }
  }

  private void watch(int changes) throws Exception {
    client.put("isolation.level", "read_committed");
    client.put("max.poll.records", "20000");
    try (KafkaConsumer<byte[], byte[]> totals = new KafkaConsumer<>(client, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        KafkaProducer<String, String> producer = producer()) {
      List<TopicPartition> partitions = new ArrayList<>();
      for (int partition = 0; partition < PARTITIONS; partition++) {
        partitions.add(new TopicPartition(group + ".totals", partition));
      }
      totals.assign(partitions);
      totals.seekToBeginning(partitions);
      System.out.println("WATCHING");
      awaitTotals(totals);
      System.out.printf("APPEARED %.3f%n", System.currentTimeMillis() / 1e3);
      long begun = System.nanoTime();
      for (int number = 0; number < changes; number++) {
        int id = shop.change(number);
        producer.send(new ProducerRecord<>(group + ".lines", Shop.key(id), shop.line(id)));
      }
      producer.flush();
      for (int order = 0; order < shop.orders; order++) {
        expect(order, shop.total(order));
      }
      awaitTotals(totals);
      System.out.printf("CHANGED %.3f%n", (System.nanoTime() - begun) / 1e9);
      checkQuiet(totals);
      System.out.println("RIGHT");
    }
  }

  /** A total that was right before may be wrong now. */
  private void expect(int order, long[] total) {
    if (!java.util.Arrays.equals(total, expected[order])) {
      expected[order] = total;
      right.clear(order);
    }
  }

  private void awaitTotals(KafkaConsumer<byte[], byte[]> totals) throws Exception {
    long until = System.nanoTime() + PATIENCE.toNanos();
    while (right.cardinality() < shop.orders) {
      for (ConsumerRecord<byte[], byte[]> record : totals.poll(Duration.ofMillis(100))) {
        take(record);
      }
      if (System.nanoTime() > until) {
        throw new IllegalStateException(right.cardinality() + " of " + shop.orders + " totals are right, no more come");
      }
    }
  }

  /** What still comes must leave all totals right. */
  private void checkQuiet(KafkaConsumer<byte[], byte[]> totals) throws Exception {
    long until = System.nanoTime() + QUIET.toNanos();
    while (System.nanoTime() < until) {
      for (ConsumerRecord<byte[], byte[]> record : totals.poll(Duration.ofMillis(100))) {
        take(record);
      }
    }
    if (right.cardinality() < shop.orders) {
      throw new IllegalStateException("only " + right.cardinality() + " of " + shop.orders + " totals stayed right");
    }
  }

  private void take(ConsumerRecord<byte[], byte[]> record) throws Exception {
    int order = JSON.readTree(record.key()).get("id").intValue();
    JsonNode total = record.value() == null ? null : JSON.readTree(record.value());
    long[] wanted = expected[order];
    boolean isRight = total != null && total.get("linhas").longValue() == wanted[0]
        && total.get("unidades").longValue() == wanted[0] && cents(total, "bruto") == wanted[1]
        && cents(total, "desconto") == wanted[2] && cents(total, "liquido") == wanted[3];
    right.set(order, isRight);
  }

  private static long cents(JsonNode total, String column) {
    return new BigDecimal(total.get(column).asText()).movePointRight(2).longValueExact();
  }

  private KafkaProducer<String, String> producer() {
    Properties properties = new Properties();
    properties.putAll(client);
    properties.putAll(Map.of("linger.ms", "20", "batch.size", String.valueOf(512 << 10), "acks", "all"));
    // With several, a first batch that a new topic's leader refuses comes behind the second for ever.
    properties.put("max.in.flight.requests.per.connection", "1");
    return new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer());
  }
}
