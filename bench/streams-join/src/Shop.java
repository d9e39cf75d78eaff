import java.util.Locale;

/** The orders, products and lines that are fed, and what every order comes to. All of it follows from numbers. */
final class Shop {
  static final int LINES = 10, PRODUCTS = 5_000, POPULAR = 10_000;

  final int orders;
  final int lines;
  /** How often each line has changed, and what it costs since then. */
  private final int[] versions;

  Shop(int orders) {
    this.orders = orders;
    this.lines = orders * LINES;
    this.versions = new int[lines];
  }

  static String key(long id) {
    return "{\"id\":" + id + "}";
  }

  static String order(long id) {
    return "{\"id\":" + id + "}";
  }

  static String product(long id) {
    return "{\"id\":" + id + ",\"name\":\"product " + id + "\"}";
  }

  /** A line as it stands now. A change of it names another product, and has another amount. */
  String line(int id) {
    long cents = cents(id), discount = discount(id);
    int first = id < POPULAR ? 0 : id % PRODUCTS;
    return String.format(Locale.ROOT,
        "{\"id\":%d,\"order\":%d,\"product\":%d,\"quantidade\":1,\"valor\":\"%d.%02d\",\"desconto\":\"0.%02d\"}",
        id, id % orders, (first + versions[id]) % PRODUCTS, cents / 100, cents % 100, discount);
  }

  /** Changes a line, the same ones in every run; tells which. */
  int change(int number) {
    int id = (int) ((number * 0x9e3779b97f4a7c15L >>> 20) % lines);
    versions[id] += 1 + number % 7;
    return id;
  }

  private long cents(int id) {
    return 100 + (id * 7L + versions[id] * 13L) % 900;
  }

  private long discount(int id) {
    return (id + versions[id]) % 10;
  }

  /** What an order comes to now: number of lines, gross, discount and net, in cents. */
  long[] total(int order) {
    long[] total = new long[4];
    for (int id = order; id < lines; id += orders) {
      total[0] += 1;
      total[1] += cents(id) + discount(id);
      total[2] += discount(id);
      total[3] += cents(id);
    }
    return total;
  }
}
