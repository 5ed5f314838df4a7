package manifest

// section is a section of hop3.toml: its name and what reads it.
type section struct {
	name string
	read func(r *reading)
}

// sections are all sections there are, in the order they are read. Each is a
// file of its own.
var sections = []section{
	{"metadata", readMetadata},
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
	{"docker", readDocker},
	{"nix", readNix},
	{"admin", readAdmin},
	{"probe", readProbe},
	{"addons", readAddons},
	{"volumes", readVolumes},
	{"limits", readLimits},
	{"scaling", readScaling},
	{"backup", readBackup},
	{"waf", readWAF},
	{"contexts", readContexts},
	{"test", readHarness},
	{"http", readHTTP},
}

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
	r.done()
}
