import com.sun.net.httpserver.HttpServer;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Logger;

/**
 * A server and its clients, fifty threads that know nothing of who watches them. Each client asks so often; each request
 * is answered by a thread of the server, which calls price(), and price() calls discount(). Prints which thread has done
 * what how often, and ends when its input does.
 */
public final class Shop {
    static final int NB_THREADS = 25;
    static final int NB_REQUESTS = 4;
    static final Logger LOG = Logger.getLogger("shop");
    static final Map<String, Integer> LEDGER = new TreeMap<>();

    static void note(String what) {
        synchronized (LEDGER) {
            LEDGER.merge(Thread.currentThread().getName() + " " + what, 1, Integer::sum);
        }
    }

    static int price(int number) throws InterruptedException {
        note("price");
        Thread.sleep(2);
        return 100 - discount(number);
    }

    static int discount(int number) throws InterruptedException {
        note("discount");
        Thread.sleep(1);
        if (number == 7) {
            throw new IllegalArgumentException("no discount on 7");
        }
        return number % 10;
    }

    static int ask(String url) throws Exception {
        note("ask");
        HttpURLConnection connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
        int status = connection.getResponseCode();
        if (status == 200) {
            connection.getInputStream().readAllBytes();
        }
        return status;
    }

    public static void main(String[] arguments) throws Exception {
        // Every thread of the server takes part: the first requests of all clients wait for one another.
        CountDownLatch all = new CountDownLatch(NB_THREADS);
        AtomicInteger numbers = new AtomicInteger();
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), NB_THREADS);
        AtomicInteger handlers = new AtomicInteger();
        server.setExecutor(Executors.newFixedThreadPool(NB_THREADS, task -> {
            Thread thread = new Thread(task, "handler-" + handlers.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        }));
        server.createContext("/price", exchange -> {
            all.countDown();
            int status = 200;
            byte[] body = {};
            try {
                all.await();
                body = Integer.toString(price(numbers.getAndIncrement())).getBytes();
            } catch (Exception e) {
                LOG.warning("failed: " + e.getMessage());
                status = 500;
            }
            exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
            try (OutputStream out = exchange.getResponseBody()) {
                out.write(body);
            }
        });
        server.start();
        String url = "http://127.0.0.1:" + server.getAddress().getPort() + "/price";
        List<Thread> clients = new ArrayList<>();
        for (int client = 1; client <= NB_THREADS; client++) {
            Thread thread = new Thread(() -> {
                try {
                    for (int i = 0; i < NB_REQUESTS; i++) {
                        ask(url);
                    }
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
            }, "client-" + client);
            thread.start();
            clients.add(thread);
        }
        for (Thread thread : clients) {
            thread.join();
        }
        LOG.info("all clients are done");
        server.stop(0);
        LEDGER.forEach((what, count) -> System.out.println(what + " " + count));
        System.out.println();
        System.in.read();
    }
}
