package manifest

// section is a section of hop3.toml: its name and what reads it.
type section struct {
	name string
	read func(r *reading)
}

// sections are all sections this server acts on, in the order they are read.
// Each is a file of its own.
var sections = []section{
	{"build", readBuild},
	{"deploy", readDeploy},
	{"run", readRun},
	{"cron", readCron},
	{"healthcheck", readHealthcheck},
	{"env", readEnv},
	{"domains", readDomains},
	{"static", readStatic},
	{"port", readPort},
	{"ports", readPorts},
	{"limits", readLimits},
	{"scaling", readScaling},
}

// metadata are sections for other readers than the server: catalogue, client,
// test harness, backups.
var metadata = []string{"metadata", "contexts", "test", "backup"}

// later are sections that need a feature this server does not have. They are
// accepted, and whoever deploys is told.
var later = []string{"addons", "provider", "volumes", "waf", "docker", "nix", "admin", "probe", "http"}

// reading is what a section's reader works on.
type reading struct {
	*table    // the root
	manifest  *Manifest
	processes *processes
}

func readSections(doc *document, m *Manifest, declared *processes) {
	r := &reading{table: &table{doc: doc, values: doc.root}, manifest: m, processes: declared}
	for _, s := range sections {
		s.read(r)
	}
	for _, name := range metadata {
		r.get(name)
	}
	for _, name := range later {
		if _, declared := r.get(name); declared {
			m.Unsupported = append(m.Unsupported, name)
		}
	}
	r.done()
}
