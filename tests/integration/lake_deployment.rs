//! A lake in a production setup: its catalog and the accounts in PostgreSQL, its data on an S3
//! server, each behind a proxy that can be cut, with the real command for servers and exports.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use crate::{
    lake::extensions,
    postgres_server::{PASSWORD, Postgres},
    s3::{BUCKET, KEY_ID, S3, SECRET},
    servers::Server,
    support::{Ran, Site},
    tcp_proxy::Wire,
};

pub(crate) struct Deployment {
    pub(crate) site: Site,
    pub(crate) to_catalog: Wire,
    pub(crate) to_accounts: Wire,
    pub(crate) to_storage: Wire,
    catalog: String,
    accounts: String,
    extensions: PathBuf,
    // The servers behind the proxies.
    _servers: (Postgres, S3),
}

/// A public dashboard that shows the run of each relation, with queries that the catalog's
/// statistics cannot satisfy. All values on a page must agree, or two generations were mixed.
const DASHBOARD: &str = r#"
title = "Runs"
public = true

# Changes nothing, and makes each question one that nobody has asked.
[[filter]]
name = "visit"
label = "Visit"
kind = "search"

[[panel]]
title = "Orders"
kind = "stat"
sql = "SELECT avg(run)::INTEGER AS run FROM orders WHERE $visit::VARCHAR IS NOT NULL HAVING min(run) = max(run) AND count(*) = 5000"
y = "run"

[[panel]]
title = "Customers"
kind = "stat"
sql = "SELECT avg(run)::INTEGER AS run FROM customers WHERE $visit::VARCHAR IS NOT NULL HAVING min(run) = max(run) AND count(*) = 700"
y = "run"

[[panel]]
title = "Totals"
kind = "stat"
sql = "SELECT avg(run)::INTEGER AS run FROM totals WHERE $visit::VARCHAR IS NOT NULL HAVING count(*) = 1 AND max(orders) = 5000"
y = "run"
"#;

impl Deployment {
    /// Starts a deployment that serves run 1 of [`Site::runs`]; prints a reason and returns `None`
    /// if a dependency is missing.
    pub(crate) fn start() -> Option<Self> {
        let (extensions, postgres, storage) = (extensions()?, Postgres::start()?, S3::start()?);
        let site = Site::runs();
        std::fs::create_dir(site.path("dashboards")).unwrap();
        std::fs::write(site.path("dashboards/runs.toml"), DASHBOARD).unwrap();
        let wire = |port| Wire::to(port);
        let deployment = Self {
            to_catalog: wire(postgres.port()),
            to_accounts: wire(postgres.port()),
            to_storage: wire(storage.port()),
            catalog: postgres.database(),
            accounts: postgres.database(),
            site,
            extensions,
            _servers: (postgres, storage),
        };
        for args in [&["export"][..], &["users", "seed"]] {
            let ran = deployment.run(args);
            assert_eq!(ran.code, 0, "{args:?}: {ran:#?}");
        }
        Some(deployment)
    }

    /// Returns the command with the settings of every machine.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.site.command(args);
        let catalog = format!(
            "ducklake:postgres:host=127.0.0.1 port={} dbname={} user=materia password={PASSWORD}",
            self.to_catalog.port(),
            self.catalog
        );
        let accounts = format!(
            "postgres://materia:{PASSWORD}@127.0.0.1:{}/{}",
            self.to_accounts.port(),
            self.accounts
        );
        command.env("SERVING_DUCKDB_PATH", catalog).env("DATABASE_URL", accounts);
        command
            .env("MATERIA_LAKE_DATA", format!("s3://{BUCKET}/data"))
            .env("MATERIA_EXTENSIONS", &self.extensions);
        command
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_REGION", "us-east-1");
        command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.to_storage.port()));
        command.env("MATERIA_DASHBOARDS", self.site.path("dashboards"));
        command
            .env("DEBUG", "true")
            .env("ADMIN_EMAILS", "admin@example.test")
            .env_remove("NOTIFY_SOCKET");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    /// Starts a server at this address.
    pub(crate) fn server(&self, address: SocketAddr) -> Server {
        let server = Server::of(self.command(&["web"]), address, &self.site.path("web.log"));
        server.answers();
        server
    }

    /// Returns the output of all servers.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.site.path("web.log")).unwrap_or_default()
    }
}
