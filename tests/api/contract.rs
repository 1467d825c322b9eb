//! The OpenAPI document: the committed file equals the served one.

use serde_json::Value;
use std::process::Command;
use system_tests::root;
use system_tests::server::{Server, binary};

#[tokio::test]
async fn the_committed_document_is_the_served_one() {
    let server = Server::ready().await;
    let served = server.document().await;
    let committed: Value =
        serde_json::from_slice(&std::fs::read(root().join("openapi/openapi.json")).unwrap()).unwrap();
    assert_eq!(served, committed, "run `make openapi` and commit the result");
    let printed = Command::new(binary()).arg("openapi").output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).unwrap(), committed);
}

#[tokio::test]
async fn the_documentation_page_loads_nothing_from_other_hosts() {
    let server = Server::ready().await;
    let page = server.client.get(format!("{}/docs/", server.base)).send().await.unwrap();
    assert!(page.status().is_success());
    let text = page.text().await.unwrap();
    assert!(text.contains("swagger-ui") && !text.contains("https://"), "{text}");
}
