/*
 * The JDK's own HttpClient: HTTP/2 where the server has it, with one authority.
 *
 * usage: Fetch URL CA.pem
 */
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

class Fetch {
	public static void
	main(String[] args) throws Exception
	{
		var store = KeyStore.getInstance(KeyStore.getDefaultType());
		store.load(null, null);
		try (var file = new FileInputStream(args[1])) {
			store.setCertificateEntry("ca", CertificateFactory
			    .getInstance("X.509").generateCertificate(file));
		}
		var trust = TrustManagerFactory.getInstance(
		    TrustManagerFactory.getDefaultAlgorithm());
		trust.init(store);
		var tls = SSLContext.getInstance("TLS");
		tls.init(null, trust.getTrustManagers(), null);
		var answer = HttpClient.newBuilder().sslContext(tls).build().send(
		    HttpRequest.newBuilder(URI.create(args[0])).build(),
		    BodyHandlers.ofString());
		System.out.print(answer.version() + " " + answer.body());
	}
}
