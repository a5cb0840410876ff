"""python -m jepa_lab"""

import sys

if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        from jepa_lab.cli.help import help_text

        print(help_text())
    else:
        try:
            from jepa_lab.cli.app import main

            main()
        except KeyboardInterrupt:  # while it was still importing
            print("interrupted", file=sys.stderr)
            sys.exit(130)
