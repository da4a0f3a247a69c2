//! BeanFlows' extracts, against a local substitute for the official sources.

use std::{
    fs,
    process::{Child, Stdio},
};

use crate::support::{Ran, Site};

/// A local web server for the files of a folder, each with an entity tag of its content; it records
/// requests.
struct Source {
    process: Child,
    address: String,
}

impl Source {
    fn serve(site: &Site) -> Self {
        const SERVER: &str = r#"
import hashlib, http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = "source/" + self.path.split("?")[0].lstrip("/")
        body = open(path, "rb").read() if os.path.exists(path) else None
        tag = '"' + hashlib.sha256(body or b"").hexdigest() + '"'
        status = 404 if body is None else 304 if self.headers.get("If-None-Match") == tag else 200
        with open("asked", "a") as log:
            log.write(f"{status} {self.path}\n")
        self.send_response(status)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body) if status == 200 else 0))
        self.end_headers()
        if status == 200:
            self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;
        fs::create_dir_all(site.path("source")).unwrap();
        let mut server = std::process::Command::new("python3");
        let mut process = server
            .args(["-c", SERVER])
            .current_dir(site.folder())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(process.stdout.take().unwrap()),
            &mut port,
        )
        .unwrap();
        Self { process, address: format!("http://127.0.0.1:{}", port.trim()) }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Creates the archive and the workbook in the format of the official sources.
fn publish_sources(site: &Site, arabica: &str) {
    const PUBLISH: &str = r#"
import sys, zipfile
with zipfile.ZipFile("source/psd.zip", "w") as archive:
    archive.writestr("psd_coffee.csv", 'Commodity_Code,Commodity_Description,Country_Code,Country_Name,Market_Year,Calendar_Year,Month,Attribute_ID,Attribute_Description,Unit_ID,Unit_Description,Value\r\n0711100,"Coffee, Green",BR,Brazil,2025,2026,06,028,Production,02,(1000 60 KG BAGS),65000.0000\r\n')
texts = ["Monthly Prices", "Coffee, Arabica", "Coffee, Robusta", "($/kg)", "2025M04", "2025M05", "…"]
cell = lambda at, text: f'<c r="{at}" t="s"><v>{texts.index(text)}</v></c>'
number = lambda at, value: f'<c r="{at}"><v>{value}</v></c>'
rows = [cell("B5", "Coffee, Arabica") + cell("C5", "Coffee, Robusta"), cell("B6", "($/kg)") + cell("C6", "($/kg)"),
        cell("A7", "2025M04") + number("B7", sys.argv[1]) + number("C7", 5.4), cell("A8", "2025M05") + cell("B8", "…") + cell("C8", "…")]
main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
link = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
with zipfile.ZipFile("source/CMO-Historical-Data-Monthly.xlsx", "w") as book:
    book.writestr("xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{link}"><sheets><sheet name="AFOSHEET" sheetId="1" r:id="rId1"/><sheet name="Monthly Prices" sheetId="2" r:id="rId2"/></sheets></workbook>')
    book.writestr("xl/_rels/workbook.xml.rels", '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" Target="worksheets/sheet2.xml"/></Relationships>')
    book.writestr("xl/sharedStrings.xml", f'<sst xmlns="{main}">' + "".join(f"<si><t>{text}</t></si>" for text in texts) + "</sst>")
    book.writestr("xl/worksheets/sheet2.xml", f'<worksheet xmlns="{main}"><sheetData>' + "".join(f"<row>{row}</row>" for row in rows) + "</sheetData></worksheet>")
open("source/cot.csv", "w").write('"id","report_date_as_yyyy_mm_dd","open_interest_all","prod_merc_positions_long","prod_merc_positions_short","swap_positions_long_all","swap__positions_short_all","m_money_positions_long_all","m_money_positions_short_all","other_rept_positions_long","other_rept_positions_short"\n"b","2026-11-10T00:00:00.000","200000","50","60","70","80","90","100","110","120"\n"a","2026-11-03T00:00:00.000","190000","1","2","3","4","5","6","7","8"\n')
"#;
    let mut publish = std::process::Command::new("python3");
    assert!(
        publish
            .args(["-c", PUBLISH, arabica])
            .current_dir(site.folder())
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn official_files_land_once_in_the_models_layout_and_again_only_when_they_changed() {
    let site = Site::empty();
    let source = Source::serve(&site);
    publish_sources(&site, "8.1");
    fs::write(
        site.path("source/page"),
        format!("<a href=\"{}/doc/2026/CMO-Historical-Data-Monthly.xlsx\">", source.address),
    )
    .unwrap();
    fs::create_dir_all(site.path("source/doc/2026")).unwrap();
    let book = "source/doc/2026/CMO-Historical-Data-Monthly.xlsx";
    fs::rename(site.path("source/CMO-Historical-Data-Monthly.xlsx"), site.path(book)).unwrap();
    let extract = |name: &str| {
        let mut command =
            std::process::Command::new(concat!(env!("REPOSITORY"), "/infra/beanflows/extract.sh"));
        let at = |path: &str| format!("{}/{path}", source.address);
        command
            .arg(name)
            .env("LANDING", site.path("landing"))
            .env("PSD_URL", at("psd.zip"))
            .env("PRICES_PAGE", at("page"));
        Ran::of(
            &command
                .env("COT_URL", at("cot.csv?cftc_contract_market_code=083731"))
                .env_remove("PRICES_URL")
                .output()
                .unwrap(),
        )
    };
    let landed = |name: &str| {
        let names = crate::support::names(&site.path("landing"));
        let newest = names.into_iter().rfind(|file| file.starts_with(name)).unwrap();
        fs::read_to_string(site.path("landing").join(newest)).unwrap()
    };
    for name in ["psd", "cot", "prices"] {
        let ran = extract(name);
        assert!(ran.code == 0 && ran.stdout.contains("landed"), "{ran:#?}");
    }
    assert!(landed("usda_psd_coffee").starts_with("Commodity_Code,"));
    assert_eq!(
        landed("worldbank_pinksheet"),
        "month,arabica_usd_per_kg,robusta_usd_per_kg\n2025M04,8.1,5.4\n"
    );
    assert_eq!(
        landed("cot_coffee"),
        "date,oi,mm_long,mm_short,pm_long,pm_short,sd_long,sd_short,other_long,other_short,mm_net,pm_net,sd_net,other_net\n\
         2026-11-03,190000,5,6,1,2,3,4,7,8,-1,-1,-1,-1\n2026-11-10,200000,90,100,50,60,70,80,110,120,-10,-10,-10,-10\n"
    );
    fs::write(site.path("asked"), "").unwrap();
    for name in ["psd", "cot", "prices"] {
        let ran = extract(name);
        assert!(ran.code == 0 && ran.stdout.contains("unchanged at the source"), "{ran:#?}");
    }
    let requested = fs::read_to_string(site.path("asked")).unwrap();
    assert_eq!(requested.lines().filter(|line| line.starts_with("304 ")).count(), 3, "{requested}");

    // A maintenance page with status 200 is not landed, and not considered the newest version.
    let before = crate::support::names(&site.path("landing"));
    let workbook = fs::read(site.path(book)).unwrap();
    for (name, file) in [("psd", "source/psd.zip"), ("cot", "source/cot.csv"), ("prices", book)] {
        fs::write(site.path(file), "<html>back soon</html>").unwrap();
        let ran = extract(name);
        assert!(ran.code != 0 && ran.stderr.contains("is not as expected"), "{ran:#?}");
    }
    fs::remove_file(site.path("source/cot.csv")).unwrap();
    let ran = extract("cot");
    assert!(ran.code == 22 && ran.stderr.contains("404"), "{ran:#?}");
    assert_eq!(crate::support::names(&site.path("landing")), before, "nothing is left over");
    fs::write(site.path(book), workbook).unwrap();
    assert!(extract("prices").stdout.contains("unchanged at the source"));
    publish_sources(&site, "8.2");
    fs::rename(site.path("source/CMO-Historical-Data-Monthly.xlsx"), site.path(book)).unwrap();
    assert!(extract("prices").stdout.contains("landed"));
    assert!(landed("worldbank_pinksheet").contains("2025M04,8.2,5.4"));
    fs::write(site.path("landing/SAMPLE.md"), "").unwrap();
    assert!(extract("psd").stderr.contains("contains sample figures"));
}

#[test]
fn rain_lands_as_sums_of_full_months_of_one_model() {
    let site = Site::empty();
    let landing = concat!(env!("REPOSITORY"), "/infra/beanflows/landing.py");
    let run = |arguments: &[&str]| {
        let mut python = std::process::Command::new("python3");
        Ran::of(&python.arg(landing).args(arguments).current_dir(site.folder()).output().unwrap())
    };
    let url = run(&["rain-url"]).stdout;
    assert!(url.contains("models=era5") && url.contains("start_date=1991-01-01"), "{url}");
    let regions = url.split("latitude=").nth(1).unwrap().split('&').next().unwrap().split(',');
    let days: Vec<String> = (1..=31)
        .map(|day| format!("\"2026-01-{day:02}\""))
        .chain(["\"2026-02-01\"".to_owned()])
        .collect();
    let fell = vec!["1.5"; 32].join(",");
    let place = format!(
        "{{\"daily\": {{\"time\": [{}], \"precipitation_sum\": [{fell}]}}}}",
        days.join(",")
    );
    let all = vec![place; regions.count()];
    fs::write(site.path("raw"), format!("[{}]", all.join(","))).unwrap();
    assert_eq!(run(&["rain", "raw", "landed"]).code, 0);
    let landed = fs::read_to_string(site.path("landed")).unwrap();
    assert!(
        landed.starts_with(
            "origin,region,month,precip_mm\nbrazil,Cerrado,2026-01,46.5\nbrazil,Espírito Santo,"
        ),
        "{landed}"
    );
    assert!(!landed.contains("2026-02"), "a month that is not over: {landed}");
    fs::write(site.path("raw"), "{\"error\": true}").unwrap();
    assert!(run(&["rain", "raw", "landed"]).stderr.contains("expected 27 regions, found 1"));
}

#[test]
fn beanflows_pipelines_run_from_the_sources_to_the_export() {
    let site = Site::empty();
    let settings = concat!(env!("REPOSITORY"), "/infra/beanflows/materia.toml");
    let listed = site
        .ok(&["pipeline", "list", "--json", "--config", settings, "--to", "analytics.duckdb"])
        .stdout;
    let name = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let names: Vec<_> = listed.lines().map(name).collect();
    assert_eq!(
        names,
        [
            "extract_cot",
            "extract_prices",
            "extract_psd",
            "extract_rain",
            "transform",
            "export_serving"
        ]
    );
}
