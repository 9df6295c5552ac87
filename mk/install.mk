# make install DESTDIR=/tmp/image PREFIX=/usr

BIN_DIR = $(DESTDIR)$(PREFIX)/bin
INSTALLED = longhaul longhaul-submitter longhaul-worker longhaul-status \
    fake-claude

install: all ## Copy the programs to $(DESTDIR)$(PREFIX)/bin
	install -d $(BIN_DIR)
	install -m 755 $(filter $(addprefix $(BUILD)/bin/,$(INSTALLED)), \
	    $(PROGRAMS)) $(BIN_DIR)

uninstall: ## Remove them again
	rm -f $(addprefix $(BIN_DIR)/,$(INSTALLED))
