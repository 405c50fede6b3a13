//! `https:`: nobody else can be the control plane.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use trainyard_executor::{RemoteControlPlane, RemoteError};
use trainyard_openapi::id::{ExecutorId, Nonce};
use trainyard_scheduler::port::control_plane::{ControlPlane, LeaseError};

use crate::remote::{Running, TOKEN, bench};

fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_string()]).unwrap()
}

/// What stands before a control plane in a cluster: it ends TLS and hands on what is inside. Gives its URL.
async fn ingress(own: &rcgen::CertifiedKey<rcgen::KeyPair>, plane: &Running) -> String {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![own.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let plane = plane.url.strip_prefix("http://").unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, plane) = (acceptor.clone(), plane.clone());
            tokio::spawn(async move {
                // A client that does not trust the certificate ends here.
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let mut inside = TcpStream::connect(plane).await.unwrap();
                let _ = copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_is_asked_only_with_a_certificate_that_is_trusted() {
    let (bench, ticket) = bench().await;
    let plane = Running::start(&bench.scheduler);
    let own = certificate();
    let url = ingress(&own, &plane).await;
    let client = |ca_pem: Option<&[u8]>| {
        RemoteControlPlane::new(vec![url.parse().unwrap()], TOKEN.to_string(), ca_pem)
    };
    let claim = async |client: RemoteControlPlane| {
        let (executor, nonce) = (ExecutorId::generate().unwrap(), Nonce::generate().unwrap());
        client.claim(&ticket, &executor, &nonce).await
    };

    for ca_pem in [None, Some(certificate().cert.pem())] {
        let client = client(ca_pem.as_ref().map(String::as_bytes)).unwrap();
        let refused = claim(client).await;
        assert!(
            matches!(&refused, Err(LeaseError::Unavailable(why)) if why.contains("certificate")),
            "{refused:?}"
        );
        assert!(plane.calls().is_empty(), "the token has gone to nobody");
    }
    let trusting = client(Some(own.cert.pem().as_bytes())).unwrap();
    claim(trusting).await.unwrap();
    assert_eq!(plane.calls().len(), 1);

    let wrong = client(Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    assert!(matches!(wrong, Err(RemoteError::Certificates(_))), "{wrong:?}");
    let none = client(Some(b"what is no certificate"));
    assert!(matches!(none, Err(RemoteError::NoCertificate)), "{none:?}");
}
