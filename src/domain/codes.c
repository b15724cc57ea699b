#include "domain/codes.h"

#include <stdlib.h>

// Every table is sorted by its first column, byte by byte: it is searched by halves.

struct name {
    const char *name; // as spell() makes it
    char code[4];
};

// clang-format off
// (It would give each code a line of its own.)

// ISO 3166-1: alpha-2 and alpha-3 codes, English short names and what else is common.
static const struct name countries[] = {
    {"abw", "ABW"}, {"ad", "AND"}, {"ae", "ARE"}, {"af", "AFG"}, {"afg", "AFG"},
    {"afghanistan", "AFG"}, {"ag", "ATG"}, {"ago", "AGO"}, {"ai", "AIA"}, {"aia", "AIA"},
    {"al", "ALB"}, {"ala", "ALA"}, {"aland", "ALA"}, {"aland islands", "ALA"}, {"alb", "ALB"},
    {"albania", "ALB"}, {"algeria", "DZA"}, {"am", "ARM"}, {"america", "USA"},
    {"american samoa", "ASM"}, {"and", "AND"}, {"andorra", "AND"}, {"angola", "AGO"},
    {"anguilla", "AIA"}, {"antarctica", "ATA"}, {"antigua", "ATG"}, {"antigua and barbuda", "ATG"},
    {"ao", "AGO"}, {"aq", "ATA"}, {"ar", "ARG"}, {"are", "ARE"}, {"arg", "ARG"},
    {"argentina", "ARG"}, {"arm", "ARM"}, {"armenia", "ARM"}, {"aruba", "ABW"}, {"as", "ASM"},
    {"asm", "ASM"}, {"at", "AUT"}, {"ata", "ATA"}, {"atf", "ATF"}, {"atg", "ATG"}, {"au", "AUS"},
    {"aus", "AUS"}, {"australia", "AUS"}, {"austria", "AUT"}, {"aut", "AUT"}, {"aw", "ABW"},
    {"ax", "ALA"}, {"az", "AZE"}, {"aze", "AZE"}, {"azerbaijan", "AZE"}, {"ba", "BIH"},
    {"bahamas", "BHS"}, {"bahamas the", "BHS"}, {"bahrain", "BHR"}, {"bangladesh", "BGD"},
    {"barbados", "BRB"}, {"bb", "BRB"}, {"bd", "BGD"}, {"bdi", "BDI"}, {"be", "BEL"},
    {"bel", "BEL"}, {"belarus", "BLR"}, {"belgium", "BEL"}, {"belize", "BLZ"}, {"ben", "BEN"},
    {"benin", "BEN"}, {"bermuda", "BMU"}, {"bes", "BES"}, {"bf", "BFA"}, {"bfa", "BFA"},
    {"bg", "BGR"}, {"bgd", "BGD"}, {"bgr", "BGR"}, {"bh", "BHR"}, {"bhr", "BHR"}, {"bhs", "BHS"},
    {"bhutan", "BTN"}, {"bi", "BDI"}, {"bih", "BIH"}, {"bj", "BEN"}, {"bl", "BLM"}, {"blm", "BLM"},
    {"blr", "BLR"}, {"blz", "BLZ"}, {"bm", "BMU"}, {"bmu", "BMU"}, {"bn", "BRN"}, {"bo", "BOL"},
    {"bol", "BOL"}, {"bolivarian republic of venezuela", "VEN"}, {"bolivia", "BOL"},
    {"bolivia plurinational state of", "BOL"}, {"bonaire", "BES"},
    {"bonaire sint eustatius and saba", "BES"}, {"bosnia", "BIH"},
    {"bosnia and herzegovina", "BIH"}, {"bosnia herzegovina", "BIH"}, {"botswana", "BWA"},
    {"bouvet island", "BVT"}, {"bq", "BES"}, {"br", "BRA"}, {"bra", "BRA"}, {"brasil", "BRA"},
    {"brazil", "BRA"}, {"brb", "BRB"}, {"britain", "GBR"},
    {"british indian ocean territory", "IOT"}, {"british virgin islands", "VGB"}, {"brn", "BRN"},
    {"brunei", "BRN"}, {"brunei darussalam", "BRN"}, {"bs", "BHS"}, {"bt", "BTN"}, {"btn", "BTN"},
    {"bulgaria", "BGR"}, {"burkina faso", "BFA"}, {"burma", "MMR"}, {"burundi", "BDI"},
    {"bv", "BVT"}, {"bvt", "BVT"}, {"bw", "BWA"}, {"bwa", "BWA"}, {"by", "BLR"}, {"bz", "BLZ"},
    {"ca", "CAN"}, {"cabo verde", "CPV"}, {"caf", "CAF"}, {"cambodia", "KHM"}, {"cameroon", "CMR"},
    {"can", "CAN"}, {"canada", "CAN"}, {"cape verde", "CPV"}, {"caribbean netherlands", "BES"},
    {"cayman islands", "CYM"}, {"cc", "CCK"}, {"cck", "CCK"}, {"cd", "COD"},
    {"central african republic", "CAF"}, {"cf", "CAF"}, {"cg", "COG"}, {"ch", "CHE"},
    {"chad", "TCD"}, {"che", "CHE"}, {"chile", "CHL"}, {"china", "CHN"}, {"chl", "CHL"},
    {"chn", "CHN"}, {"christmas island", "CXR"}, {"ci", "CIV"}, {"civ", "CIV"}, {"ck", "COK"},
    {"cl", "CHL"}, {"cm", "CMR"}, {"cmr", "CMR"}, {"cn", "CHN"}, {"co", "COL"},
    {"cocos islands", "CCK"}, {"cocos keeling islands", "CCK"}, {"cod", "COD"}, {"cog", "COG"},
    {"cok", "COK"}, {"col", "COL"}, {"colombia", "COL"}, {"com", "COM"}, {"comoros", "COM"},
    {"congo", "COG"}, {"congo brazzaville", "COG"}, {"congo democratic republic of the", "COD"},
    {"congo kinshasa", "COD"}, {"congo republic of the", "COG"},
    {"congo the democratic republic of the", "COD"}, {"cook islands", "COK"},
    {"costa rica", "CRI"}, {"cote divoire", "CIV"}, {"cpv", "CPV"}, {"cr", "CRI"}, {"cri", "CRI"},
    {"croatia", "HRV"}, {"cu", "CUB"}, {"cub", "CUB"}, {"cuba", "CUB"}, {"curacao", "CUW"},
    {"cuw", "CUW"}, {"cv", "CPV"}, {"cw", "CUW"}, {"cx", "CXR"}, {"cxr", "CXR"}, {"cy", "CYP"},
    {"cym", "CYM"}, {"cyp", "CYP"}, {"cyprus", "CYP"}, {"cz", "CZE"}, {"cze", "CZE"},
    {"czech republic", "CZE"}, {"czechia", "CZE"}, {"de", "DEU"},
    {"democratic peoples republic of korea", "PRK"}, {"democratic republic of the congo", "COD"},
    {"denmark", "DNK"}, {"deu", "DEU"}, {"deutschland", "DEU"}, {"dj", "DJI"}, {"dji", "DJI"},
    {"djibouti", "DJI"}, {"dk", "DNK"}, {"dm", "DMA"}, {"dma", "DMA"}, {"dnk", "DNK"},
    {"do", "DOM"}, {"dom", "DOM"}, {"dominica", "DMA"}, {"dominican republic", "DOM"},
    {"dprk", "PRK"}, {"dr congo", "COD"}, {"drc", "COD"}, {"dz", "DZA"}, {"dza", "DZA"},
    {"east timor", "TLS"}, {"ec", "ECU"}, {"ecu", "ECU"}, {"ecuador", "ECU"}, {"ee", "EST"},
    {"eg", "EGY"}, {"egy", "EGY"}, {"egypt", "EGY"}, {"eh", "ESH"}, {"eire", "IRL"},
    {"el salvador", "SLV"}, {"emirates", "ARE"}, {"england", "GBR"}, {"equatorial guinea", "GNQ"},
    {"er", "ERI"}, {"eri", "ERI"}, {"eritrea", "ERI"}, {"es", "ESP"}, {"esh", "ESH"},
    {"esp", "ESP"}, {"espana", "ESP"}, {"est", "EST"}, {"estonia", "EST"}, {"eswatini", "SWZ"},
    {"et", "ETH"}, {"eth", "ETH"}, {"ethiopia", "ETH"}, {"falkland islands", "FLK"},
    {"falkland islands malvinas", "FLK"}, {"falklands", "FLK"}, {"faroe islands", "FRO"},
    {"faroes", "FRO"}, {"federal republic of germany", "DEU"},
    {"federated states of micronesia", "FSM"}, {"fi", "FIN"}, {"fiji", "FJI"}, {"fin", "FIN"},
    {"finland", "FIN"}, {"fj", "FJI"}, {"fji", "FJI"}, {"fk", "FLK"}, {"flk", "FLK"},
    {"fm", "FSM"}, {"fo", "FRO"}, {"former yugoslav republic of macedonia", "MKD"}, {"fr", "FRA"},
    {"fra", "FRA"}, {"france", "FRA"}, {"french guiana", "GUF"}, {"french polynesia", "PYF"},
    {"french southern and antarctic lands", "ATF"}, {"french southern territories", "ATF"},
    {"fro", "FRO"}, {"fsm", "FSM"}, {"fyrom", "MKD"}, {"ga", "GAB"}, {"gab", "GAB"},
    {"gabon", "GAB"}, {"gambia", "GMB"}, {"gambia the", "GMB"}, {"gb", "GBR"}, {"gbr", "GBR"},
    {"gd", "GRD"}, {"ge", "GEO"}, {"geo", "GEO"}, {"georgia", "GEO"}, {"germany", "DEU"},
    {"gf", "GUF"}, {"gg", "GGY"}, {"ggy", "GGY"}, {"gh", "GHA"}, {"gha", "GHA"}, {"ghana", "GHA"},
    {"gi", "GIB"}, {"gib", "GIB"}, {"gibraltar", "GIB"}, {"gin", "GIN"}, {"gl", "GRL"},
    {"glp", "GLP"}, {"gm", "GMB"}, {"gmb", "GMB"}, {"gn", "GIN"}, {"gnb", "GNB"}, {"gnq", "GNQ"},
    {"gp", "GLP"}, {"gq", "GNQ"}, {"gr", "GRC"}, {"grc", "GRC"}, {"grd", "GRD"},
    {"great britain", "GBR"}, {"greece", "GRC"}, {"greenland", "GRL"}, {"grenada", "GRD"},
    {"grl", "GRL"}, {"gs", "SGS"}, {"gt", "GTM"}, {"gtm", "GTM"}, {"gu", "GUM"},
    {"guadeloupe", "GLP"}, {"guam", "GUM"}, {"guatemala", "GTM"}, {"guernsey", "GGY"},
    {"guf", "GUF"}, {"guinea", "GIN"}, {"guinea bissau", "GNB"}, {"gum", "GUM"}, {"guy", "GUY"},
    {"guyana", "GUY"}, {"gw", "GNB"}, {"gy", "GUY"}, {"haiti", "HTI"},
    {"heard island and mcdonald islands", "HMD"}, {"hellenic republic", "GRC"}, {"hk", "HKG"},
    {"hkg", "HKG"}, {"hm", "HMD"}, {"hmd", "HMD"}, {"hn", "HND"}, {"hnd", "HND"},
    {"holland", "NLD"}, {"holy see", "VAT"}, {"holy see vatican city state", "VAT"},
    {"honduras", "HND"}, {"hong kong", "HKG"}, {"hong kong sar", "HKG"},
    {"hong kong sar china", "HKG"}, {"hr", "HRV"}, {"hrv", "HRV"}, {"hrvatska", "HRV"},
    {"ht", "HTI"}, {"hti", "HTI"}, {"hu", "HUN"}, {"hun", "HUN"}, {"hungary", "HUN"},
    {"iceland", "ISL"}, {"id", "IDN"}, {"idn", "IDN"}, {"ie", "IRL"}, {"il", "ISR"}, {"im", "IMN"},
    {"imn", "IMN"}, {"in", "IND"}, {"ind", "IND"}, {"india", "IND"}, {"indonesia", "IDN"},
    {"io", "IOT"}, {"iot", "IOT"}, {"iq", "IRQ"}, {"ir", "IRN"}, {"iran", "IRN"},
    {"iran islamic republic of", "IRN"}, {"iraq", "IRQ"}, {"ireland", "IRL"}, {"irl", "IRL"},
    {"irn", "IRN"}, {"irq", "IRQ"}, {"is", "ISL"}, {"isl", "ISL"},
    {"islamic republic of iran", "IRN"}, {"isle of man", "IMN"}, {"isr", "ISR"}, {"israel", "ISR"},
    {"it", "ITA"}, {"ita", "ITA"}, {"italia", "ITA"}, {"italy", "ITA"}, {"ivory coast", "CIV"},
    {"jam", "JAM"}, {"jamaica", "JAM"}, {"japan", "JPN"}, {"je", "JEY"}, {"jersey", "JEY"},
    {"jey", "JEY"}, {"jm", "JAM"}, {"jo", "JOR"}, {"jor", "JOR"}, {"jordan", "JOR"}, {"jp", "JPN"},
    {"jpn", "JPN"}, {"kaz", "KAZ"}, {"kazakhstan", "KAZ"}, {"ke", "KEN"},
    {"keeling islands", "CCK"}, {"ken", "KEN"}, {"kenya", "KEN"}, {"kg", "KGZ"}, {"kgz", "KGZ"},
    {"kh", "KHM"}, {"khm", "KHM"}, {"ki", "KIR"}, {"kingdom of saudi arabia", "SAU"},
    {"kingdom of the netherlands", "NLD"}, {"kir", "KIR"}, {"kiribati", "KIR"}, {"km", "COM"},
    {"kn", "KNA"}, {"kna", "KNA"}, {"kor", "KOR"}, {"korea democratic peoples republic of", "PRK"},
    {"korea north", "PRK"}, {"korea republic of", "KOR"}, {"korea south", "KOR"}, {"kp", "PRK"},
    {"kr", "KOR"}, {"ksa", "SAU"}, {"kuwait", "KWT"}, {"kw", "KWT"}, {"kwt", "KWT"}, {"ky", "CYM"},
    {"kyrgyz republic", "KGZ"}, {"kyrgyzstan", "KGZ"}, {"kz", "KAZ"}, {"la", "LAO"},
    {"lao", "LAO"}, {"lao pdr", "LAO"}, {"lao peoples democratic republic", "LAO"},
    {"laos", "LAO"}, {"latvia", "LVA"}, {"lb", "LBN"}, {"lbn", "LBN"}, {"lbr", "LBR"},
    {"lby", "LBY"}, {"lc", "LCA"}, {"lca", "LCA"}, {"lebanon", "LBN"}, {"lesotho", "LSO"},
    {"li", "LIE"}, {"liberia", "LBR"}, {"libya", "LBY"}, {"lie", "LIE"}, {"liechtenstein", "LIE"},
    {"lithuania", "LTU"}, {"lk", "LKA"}, {"lka", "LKA"}, {"lr", "LBR"}, {"ls", "LSO"},
    {"lso", "LSO"}, {"lt", "LTU"}, {"ltu", "LTU"}, {"lu", "LUX"}, {"lux", "LUX"},
    {"luxembourg", "LUX"}, {"lv", "LVA"}, {"lva", "LVA"}, {"ly", "LBY"}, {"ma", "MAR"},
    {"mac", "MAC"}, {"macao", "MAC"}, {"macao sar", "MAC"}, {"macao sar china", "MAC"},
    {"macau", "MAC"}, {"macau sar china", "MAC"}, {"macedonia", "MKD"}, {"madagascar", "MDG"},
    {"maf", "MAF"}, {"mainland china", "CHN"}, {"malawi", "MWI"}, {"malaysia", "MYS"},
    {"maldives", "MDV"}, {"mali", "MLI"}, {"malta", "MLT"}, {"mar", "MAR"},
    {"marshall islands", "MHL"}, {"martinique", "MTQ"}, {"mauritania", "MRT"},
    {"mauritius", "MUS"}, {"mayotte", "MYT"}, {"mc", "MCO"}, {"mco", "MCO"}, {"md", "MDA"},
    {"mda", "MDA"}, {"mdg", "MDG"}, {"mdv", "MDV"}, {"me", "MNE"}, {"mex", "MEX"},
    {"mexico", "MEX"}, {"mf", "MAF"}, {"mg", "MDG"}, {"mh", "MHL"}, {"mhl", "MHL"},
    {"micronesia", "FSM"}, {"micronesia federated states of", "FSM"}, {"mk", "MKD"},
    {"mkd", "MKD"}, {"ml", "MLI"}, {"mli", "MLI"}, {"mlt", "MLT"}, {"mm", "MMR"}, {"mmr", "MMR"},
    {"mn", "MNG"}, {"mne", "MNE"}, {"mng", "MNG"}, {"mnp", "MNP"}, {"mo", "MAC"},
    {"moldova", "MDA"}, {"moldova republic of", "MDA"}, {"monaco", "MCO"}, {"mongolia", "MNG"},
    {"montenegro", "MNE"}, {"montserrat", "MSR"}, {"morocco", "MAR"}, {"moz", "MOZ"},
    {"mozambique", "MOZ"}, {"mp", "MNP"}, {"mq", "MTQ"}, {"mr", "MRT"}, {"mrt", "MRT"},
    {"ms", "MSR"}, {"msr", "MSR"}, {"mt", "MLT"}, {"mtq", "MTQ"}, {"mu", "MUS"}, {"mus", "MUS"},
    {"mv", "MDV"}, {"mw", "MWI"}, {"mwi", "MWI"}, {"mx", "MEX"}, {"my", "MYS"}, {"myanmar", "MMR"},
    {"myanmar burma", "MMR"}, {"mys", "MYS"}, {"myt", "MYT"}, {"mz", "MOZ"}, {"na", "NAM"},
    {"nam", "NAM"}, {"namibia", "NAM"}, {"nauru", "NRU"}, {"nc", "NCL"}, {"ncl", "NCL"},
    {"ne", "NER"}, {"nepal", "NPL"}, {"ner", "NER"}, {"netherlands", "NLD"},
    {"netherlands kingdom of the", "NLD"}, {"new caledonia", "NCL"}, {"new zealand", "NZL"},
    {"nf", "NFK"}, {"nfk", "NFK"}, {"ng", "NGA"}, {"nga", "NGA"}, {"ni", "NIC"}, {"nic", "NIC"},
    {"nicaragua", "NIC"}, {"niger", "NER"}, {"nigeria", "NGA"}, {"niu", "NIU"}, {"niue", "NIU"},
    {"nl", "NLD"}, {"nld", "NLD"}, {"no", "NOR"}, {"nor", "NOR"}, {"norfolk island", "NFK"},
    {"north korea", "PRK"}, {"north macedonia", "MKD"}, {"northern ireland", "GBR"},
    {"northern mariana islands", "MNP"}, {"norway", "NOR"}, {"np", "NPL"}, {"npl", "NPL"},
    {"nr", "NRU"}, {"nru", "NRU"}, {"nu", "NIU"}, {"nz", "NZL"}, {"nzl", "NZL"}, {"om", "OMN"},
    {"oman", "OMN"}, {"omn", "OMN"}, {"pa", "PAN"}, {"pak", "PAK"}, {"pakistan", "PAK"},
    {"palau", "PLW"}, {"palestine", "PSE"}, {"palestine state of", "PSE"},
    {"palestinian territories", "PSE"}, {"palestinian territory", "PSE"}, {"pan", "PAN"},
    {"panama", "PAN"}, {"papua new guinea", "PNG"}, {"paraguay", "PRY"}, {"pcn", "PCN"},
    {"pe", "PER"}, {"peoples republic of china", "CHN"}, {"per", "PER"}, {"peru", "PER"},
    {"pf", "PYF"}, {"pg", "PNG"}, {"ph", "PHL"}, {"philippines", "PHL"}, {"phl", "PHL"},
    {"pitcairn", "PCN"}, {"pitcairn islands", "PCN"}, {"pk", "PAK"}, {"pl", "POL"},
    {"plurinational state of bolivia", "BOL"}, {"plw", "PLW"}, {"pm", "SPM"}, {"pn", "PCN"},
    {"png", "PNG"}, {"pol", "POL"}, {"poland", "POL"}, {"portugal", "PRT"}, {"pr", "PRI"},
    {"prc", "CHN"}, {"pri", "PRI"}, {"prk", "PRK"}, {"prt", "PRT"}, {"pry", "PRY"}, {"ps", "PSE"},
    {"pse", "PSE"}, {"pt", "PRT"}, {"puerto rico", "PRI"}, {"pw", "PLW"}, {"py", "PRY"},
    {"pyf", "PYF"}, {"qa", "QAT"}, {"qat", "QAT"}, {"qatar", "QAT"}, {"re", "REU"},
    {"republic of ireland", "IRL"}, {"republic of korea", "KOR"}, {"republic of moldova", "MDA"},
    {"republic of north macedonia", "MKD"}, {"republic of south africa", "ZAF"},
    {"republic of the congo", "COG"}, {"reu", "REU"}, {"reunion", "REU"}, {"ro", "ROU"},
    {"romania", "ROU"}, {"rou", "ROU"}, {"rs", "SRB"}, {"ru", "RUS"}, {"rus", "RUS"},
    {"russia", "RUS"}, {"russian federation", "RUS"}, {"rw", "RWA"}, {"rwa", "RWA"},
    {"rwanda", "RWA"}, {"sa", "SAU"}, {"saint barthelemy", "BLM"}, {"saint helena", "SHN"},
    {"saint helena ascension and tristan da cunha", "SHN"}, {"saint kitts and nevis", "KNA"},
    {"saint lucia", "LCA"}, {"saint martin", "MAF"}, {"saint martin french part", "MAF"},
    {"saint pierre and miquelon", "SPM"}, {"saint vincent and the grenadines", "VCT"},
    {"samoa", "WSM"}, {"san marino", "SMR"}, {"sao tome and principe", "STP"}, {"sau", "SAU"},
    {"saudi arabia", "SAU"}, {"sb", "SLB"}, {"sc", "SYC"}, {"scotland", "GBR"}, {"sd", "SDN"},
    {"sdn", "SDN"}, {"se", "SWE"}, {"sen", "SEN"}, {"senegal", "SEN"}, {"serbia", "SRB"},
    {"seychelles", "SYC"}, {"sg", "SGP"}, {"sgp", "SGP"}, {"sgs", "SGS"}, {"sh", "SHN"},
    {"shn", "SHN"}, {"si", "SVN"}, {"sierra leone", "SLE"}, {"singapore", "SGP"},
    {"sint maarten", "SXM"}, {"sint maarten dutch part", "SXM"}, {"sj", "SJM"}, {"sjm", "SJM"},
    {"sk", "SVK"}, {"sl", "SLE"}, {"slb", "SLB"}, {"sle", "SLE"}, {"slovak republic", "SVK"},
    {"slovakia", "SVK"}, {"slovenia", "SVN"}, {"slv", "SLV"}, {"sm", "SMR"}, {"smr", "SMR"},
    {"sn", "SEN"}, {"so", "SOM"}, {"solomon islands", "SLB"}, {"som", "SOM"}, {"somalia", "SOM"},
    {"south africa", "ZAF"}, {"south georgia", "SGS"},
    {"south georgia and the south sandwich islands", "SGS"}, {"south korea", "KOR"},
    {"south sudan", "SSD"}, {"spain", "ESP"}, {"spm", "SPM"}, {"sr", "SUR"}, {"srb", "SRB"},
    {"sri lanka", "LKA"}, {"ss", "SSD"}, {"ssd", "SSD"}, {"st", "STP"}, {"st barthelemy", "BLM"},
    {"st barts", "BLM"}, {"st helena", "SHN"}, {"st kitts", "KNA"}, {"st kitts and nevis", "KNA"},
    {"st lucia", "LCA"}, {"st maarten", "SXM"}, {"st martin", "MAF"},
    {"st pierre and miquelon", "SPM"}, {"st vincent and grenadines", "VCT"},
    {"st vincent and the grenadines", "VCT"}, {"state of palestine", "PSE"}, {"stp", "STP"},
    {"sudan", "SDN"}, {"sur", "SUR"}, {"suriname", "SUR"}, {"sv", "SLV"}, {"svalbard", "SJM"},
    {"svalbard and jan mayen", "SJM"}, {"svk", "SVK"}, {"svn", "SVN"}, {"swaziland", "SWZ"},
    {"swe", "SWE"}, {"sweden", "SWE"}, {"switzerland", "CHE"}, {"swz", "SWZ"}, {"sx", "SXM"},
    {"sxm", "SXM"}, {"sy", "SYR"}, {"syc", "SYC"}, {"syr", "SYR"}, {"syria", "SYR"},
    {"syrian arab republic", "SYR"}, {"sz", "SWZ"}, {"tahiti", "PYF"}, {"taiwan", "TWN"},
    {"taiwan province of china", "TWN"}, {"taiwan roc", "TWN"}, {"tajikistan", "TJK"},
    {"tanzania", "TZA"}, {"tanzania united republic of", "TZA"}, {"tc", "TCA"}, {"tca", "TCA"},
    {"tcd", "TCD"}, {"td", "TCD"}, {"tf", "ATF"}, {"tg", "TGO"}, {"tgo", "TGO"}, {"th", "THA"},
    {"tha", "THA"}, {"thailand", "THA"}, {"timor leste", "TLS"}, {"tj", "TJK"}, {"tjk", "TJK"},
    {"tk", "TKL"}, {"tkl", "TKL"}, {"tkm", "TKM"}, {"tl", "TLS"}, {"tls", "TLS"}, {"tm", "TKM"},
    {"tn", "TUN"}, {"to", "TON"}, {"togo", "TGO"}, {"tokelau", "TKL"}, {"ton", "TON"},
    {"tonga", "TON"}, {"tr", "TUR"}, {"trinidad", "TTO"}, {"trinidad and tobago", "TTO"},
    {"trinidad tobago", "TTO"}, {"tt", "TTO"}, {"tto", "TTO"}, {"tun", "TUN"}, {"tunisia", "TUN"},
    {"tur", "TUR"}, {"turkey", "TUR"}, {"turkiye", "TUR"}, {"turkmenistan", "TKM"},
    {"turks and caicos", "TCA"}, {"turks and caicos islands", "TCA"}, {"turks caicos", "TCA"},
    {"tuv", "TUV"}, {"tuvalu", "TUV"}, {"tv", "TUV"}, {"tw", "TWN"}, {"twn", "TWN"}, {"tz", "TZA"},
    {"tza", "TZA"}, {"u s", "USA"}, {"u s a", "USA"}, {"ua", "UKR"}, {"uae", "ARE"}, {"ug", "UGA"},
    {"uga", "UGA"}, {"uganda", "UGA"}, {"uk", "GBR"}, {"ukr", "UKR"}, {"ukraine", "UKR"},
    {"um", "UMI"}, {"umi", "UMI"}, {"united arab emirates", "ARE"}, {"united kingdom", "GBR"},
    {"united kingdom of great britain and northern ireland", "GBR"},
    {"united republic of tanzania", "TZA"}, {"united states", "USA"},
    {"united states minor outlying islands", "UMI"}, {"united states of america", "USA"},
    {"united states virgin islands", "VIR"}, {"uruguay", "URY"}, {"ury", "URY"}, {"us", "USA"},
    {"us minor outlying islands", "UMI"}, {"us of a", "USA"}, {"us virgin islands", "VIR"},
    {"usa", "USA"}, {"uy", "URY"}, {"uz", "UZB"}, {"uzb", "UZB"}, {"uzbekistan", "UZB"},
    {"va", "VAT"}, {"vanuatu", "VUT"}, {"vat", "VAT"}, {"vatican", "VAT"}, {"vatican city", "VAT"},
    {"vatican city state", "VAT"}, {"vc", "VCT"}, {"vct", "VCT"}, {"ve", "VEN"}, {"ven", "VEN"},
    {"venezuela", "VEN"}, {"venezuela bolivarian republic of", "VEN"}, {"vg", "VGB"},
    {"vgb", "VGB"}, {"vi", "VIR"}, {"viet nam", "VNM"}, {"vietnam", "VNM"}, {"vir", "VIR"},
    {"virgin islands british", "VGB"}, {"virgin islands u s", "VIR"}, {"virgin islands uk", "VGB"},
    {"virgin islands us", "VIR"}, {"vn", "VNM"}, {"vnm", "VNM"}, {"vu", "VUT"}, {"vut", "VUT"},
    {"wales", "GBR"}, {"wallis and futuna", "WLF"}, {"western sahara", "ESH"},
    {"western samoa", "WSM"}, {"wf", "WLF"}, {"wlf", "WLF"}, {"ws", "WSM"}, {"wsm", "WSM"},
    {"ye", "YEM"}, {"yem", "YEM"}, {"yemen", "YEM"}, {"yt", "MYT"}, {"za", "ZAF"}, {"zaf", "ZAF"},
    {"zaire", "COD"}, {"zambia", "ZMB"}, {"zimbabwe", "ZWE"}, {"zm", "ZMB"}, {"zmb", "ZMB"},
    {"zw", "ZWE"}, {"zwe", "ZWE"},
};

static const struct name us_states[] = {
    {"aa", "AA"}, {"ae", "AE"}, {"ak", "AK"}, {"al", "AL"}, {"alabama", "AL"}, {"alaska", "AK"},
    {"american samoa", "AS"}, {"ap", "AP"}, {"ar", "AR"}, {"arizona", "AZ"}, {"arkansas", "AR"},
    {"armed forces africa", "AE"}, {"armed forces americas", "AA"}, {"armed forces canada", "AE"},
    {"armed forces europe", "AE"}, {"armed forces middle east", "AE"},
    {"armed forces pacific", "AP"}, {"armed forces the americas", "AA"}, {"as", "AS"},
    {"az", "AZ"}, {"ca", "CA"}, {"california", "CA"}, {"co", "CO"}, {"colorado", "CO"},
    {"connecticut", "CT"}, {"ct", "CT"}, {"dc", "DC"}, {"de", "DE"}, {"delaware", "DE"},
    {"district of columbia", "DC"}, {"federated states of micronesia", "FM"}, {"fl", "FL"},
    {"florida", "FL"}, {"fm", "FM"}, {"ga", "GA"}, {"georgia", "GA"}, {"gu", "GU"}, {"guam", "GU"},
    {"hawaii", "HI"}, {"hi", "HI"}, {"ia", "IA"}, {"id", "ID"}, {"idaho", "ID"}, {"il", "IL"},
    {"illinois", "IL"}, {"in", "IN"}, {"indiana", "IN"}, {"iowa", "IA"}, {"kansas", "KS"},
    {"kentucky", "KY"}, {"ks", "KS"}, {"ky", "KY"}, {"la", "LA"}, {"louisiana", "LA"},
    {"ma", "MA"}, {"maine", "ME"}, {"marshall islands", "MH"}, {"maryland", "MD"},
    {"massachusetts", "MA"}, {"md", "MD"}, {"me", "ME"}, {"mh", "MH"}, {"mi", "MI"},
    {"michigan", "MI"}, {"micronesia", "FM"}, {"minnesota", "MN"}, {"mississippi", "MS"},
    {"missouri", "MO"}, {"mn", "MN"}, {"mo", "MO"}, {"montana", "MT"}, {"mp", "MP"}, {"ms", "MS"},
    {"mt", "MT"}, {"nc", "NC"}, {"nd", "ND"}, {"ne", "NE"}, {"nebraska", "NE"}, {"nevada", "NV"},
    {"new hampshire", "NH"}, {"new jersey", "NJ"}, {"new mexico", "NM"}, {"new york", "NY"},
    {"new york state", "NY"}, {"nh", "NH"}, {"nj", "NJ"}, {"nm", "NM"}, {"north carolina", "NC"},
    {"north dakota", "ND"}, {"northern mariana islands", "MP"}, {"nv", "NV"}, {"ny", "NY"},
    {"oh", "OH"}, {"ohio", "OH"}, {"ok", "OK"}, {"oklahoma", "OK"}, {"or", "OR"}, {"oregon", "OR"},
    {"pa", "PA"}, {"palau", "PW"}, {"pennsylvania", "PA"}, {"pr", "PR"}, {"puerto rico", "PR"},
    {"pw", "PW"}, {"rhode island", "RI"}, {"ri", "RI"}, {"sc", "SC"}, {"sd", "SD"},
    {"south carolina", "SC"}, {"south dakota", "SD"}, {"tennessee", "TN"}, {"texas", "TX"},
    {"tn", "TN"}, {"tx", "TX"}, {"um", "UM"}, {"united states minor outlying islands", "UM"},
    {"united states virgin islands", "VI"}, {"us minor outlying islands", "UM"},
    {"us virgin islands", "VI"}, {"ut", "UT"}, {"utah", "UT"}, {"va", "VA"}, {"vermont", "VT"},
    {"vi", "VI"}, {"virgin islands", "VI"}, {"virginia", "VA"}, {"vt", "VT"}, {"wa", "WA"},
    {"washington", "WA"}, {"washington d c", "DC"}, {"washington dc", "DC"},
    {"washington state", "WA"}, {"west virginia", "WV"}, {"wi", "WI"}, {"wisconsin", "WI"},
    {"wv", "WV"}, {"wy", "WY"}, {"wyoming", "WY"},
};

// ISO 639-1.
static const char languages[][3] = {
    "aa", "ab", "ae", "af", "ak", "am", "an", "ar", "as", "av", "ay", "az", "ba", "be", "bg", "bh",
    "bi", "bm", "bn", "bo", "br", "bs", "ca", "ce", "ch", "co", "cr", "cs", "cu", "cv", "cy", "da",
    "de", "dv", "dz", "ee", "el", "en", "eo", "es", "et", "eu", "fa", "ff", "fi", "fj", "fo", "fr",
    "fy", "ga", "gd", "gl", "gn", "gu", "gv", "ha", "he", "hi", "ho", "hr", "ht", "hu", "hy", "hz",
    "ia", "id", "ie", "ig", "ii", "ik", "io", "is", "it", "iu", "ja", "jv", "ka", "kg", "ki", "kj",
    "kk", "kl", "km", "kn", "ko", "kr", "ks", "ku", "kv", "kw", "ky", "la", "lb", "lg", "li", "ln",
    "lo", "lt", "lu", "lv", "mg", "mh", "mi", "mk", "ml", "mn", "mr", "ms", "mt", "my", "na", "nb",
    "nd", "ne", "ng", "nl", "nn", "no", "nr", "nv", "ny", "oc", "oj", "om", "or", "os", "pa", "pi",
    "pl", "ps", "pt", "qu", "rm", "rn", "ro", "ru", "rw", "sa", "sc", "sd", "se", "sg", "si", "sk",
    "sl", "sm", "sn", "so", "sq", "sr", "ss", "st", "su", "sv", "sw", "ta", "te", "tg", "th", "ti",
    "tk", "tl", "tn", "to", "tr", "ts", "tt", "tw", "ty", "ug", "uk", "ur", "uz", "ve", "vi", "vo",
    "wa", "wo", "xh", "yi", "yo", "za", "zh", "zu",
};

// Codes that ISO 639-1 replaced, and that older Java still prints.
static const struct name old_languages[] = {{"in", "id"}, {"iw", "he"}, {"ji", "yi"}};

// ISO 4217, list one, as of 2025.
static const struct codes_currency currencies[] = {
    {"AED", 2}, {"AFN", 2}, {"ALL", 2}, {"AMD", 2}, {"AOA", 2}, {"ARS", 2}, {"AUD", 2}, {"AWG", 2},
    {"AZN", 2}, {"BAM", 2}, {"BBD", 2}, {"BDT", 2}, {"BGN", 2}, {"BHD", 3}, {"BIF", 0}, {"BMD", 2},
    {"BND", 2}, {"BOB", 2}, {"BOV", 2}, {"BRL", 2}, {"BSD", 2}, {"BTN", 2}, {"BWP", 2}, {"BYN", 2},
    {"BZD", 2}, {"CAD", 2}, {"CDF", 2}, {"CHE", 2}, {"CHF", 2}, {"CHW", 2}, {"CLF", 4}, {"CLP", 0},
    {"CNY", 2}, {"COP", 2}, {"COU", 2}, {"CRC", 2}, {"CUP", 2}, {"CVE", 2}, {"CZK", 2}, {"DJF", 0},
    {"DKK", 2}, {"DOP", 2}, {"DZD", 2}, {"EGP", 2}, {"ERN", 2}, {"ETB", 2}, {"EUR", 2}, {"FJD", 2},
    {"FKP", 2}, {"GBP", 2}, {"GEL", 2}, {"GHS", 2}, {"GIP", 2}, {"GMD", 2}, {"GNF", 0}, {"GTQ", 2},
    {"GYD", 2}, {"HKD", 2}, {"HNL", 2}, {"HTG", 2}, {"HUF", 2}, {"IDR", 2}, {"ILS", 2}, {"INR", 2},
    {"IQD", 3}, {"IRR", 2}, {"ISK", 0}, {"JMD", 2}, {"JOD", 3}, {"JPY", 0}, {"KES", 2}, {"KGS", 2},
    {"KHR", 2}, {"KMF", 0}, {"KPW", 2}, {"KRW", 0}, {"KWD", 3}, {"KYD", 2}, {"KZT", 2}, {"LAK", 2},
    {"LBP", 2}, {"LKR", 2}, {"LRD", 2}, {"LSL", 2}, {"LYD", 3}, {"MAD", 2}, {"MDL", 2}, {"MGA", 2},
    {"MKD", 2}, {"MMK", 2}, {"MNT", 2}, {"MOP", 2}, {"MRU", 2}, {"MUR", 2}, {"MVR", 2}, {"MWK", 2},
    {"MXN", 2}, {"MXV", 2}, {"MYR", 2}, {"MZN", 2}, {"NAD", 2}, {"NGN", 2}, {"NIO", 2}, {"NOK", 2},
    {"NPR", 2}, {"NZD", 2}, {"OMR", 3}, {"PAB", 2}, {"PEN", 2}, {"PGK", 2}, {"PHP", 2}, {"PKR", 2},
    {"PLN", 2}, {"PYG", 0}, {"QAR", 2}, {"RON", 2}, {"RSD", 2}, {"RUB", 2}, {"RWF", 0}, {"SAR", 2},
    {"SBD", 2}, {"SCR", 2}, {"SDG", 2}, {"SEK", 2}, {"SGD", 2}, {"SHP", 2}, {"SLE", 2}, {"SOS", 2},
    {"SRD", 2}, {"SSP", 2}, {"STN", 2}, {"SVC", 2}, {"SYP", 2}, {"SZL", 2}, {"THB", 2}, {"TJS", 2},
    {"TMT", 2}, {"TND", 3}, {"TOP", 2}, {"TRY", 2}, {"TTD", 2}, {"TWD", 2}, {"TZS", 2}, {"UAH", 2},
    {"UGX", 0}, {"USD", 2}, {"USN", 2}, {"UYI", 0}, {"UYU", 2}, {"UYW", 4}, {"UZS", 2}, {"VED", 2},
    {"VES", 2}, {"VND", 0}, {"VUV", 0}, {"WST", 2}, {"XAF", 0}, {"XCD", 2}, {"XCG", 2},
    {"XOF", 0}, {"XPF", 0}, {"YER", 2}, {"ZAR", 2}, {"ZMW", 2}, {"ZWG", 2},
};

// clang-format on

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

// ---- searching ----

// Both rows begin with their key: a pointer to it, or its letters.
static int compare_names(const void *key, const void *row)
{
    const struct name *name = row;
    return strcmp(key, name->name);
}

static int compare_letters(const void *key, const void *row)
{
    return strcmp(key, row);
}

static const char *find_name(const char *key, const struct name *table, size_t count)
{
    const struct name *found = bsearch(key, table, count, sizeof *table, compare_names);
    return found == NULL ? NULL : found->code;
}

// ---- spelling ----

enum { KEY_BYTES = 64 };

// The letter without its accent, for U+00C0 to U+00FF, which are 0xC3 and a byte from 0x80 on.
static char plain_letter(unsigned char second)
{
    static const char letters[] =
        "aaaaaaaceeeeiiiidnooooo ouuuuytsaaaaaaaceeeeiiiidnooooo ouuuuyty";
    return second >= 0x80 && second <= 0xBF ? letters[second - 0x80] : '\0';
}

static bool is_among(char c, struct str set)
{
    return memchr(set.ptr, (unsigned char)c, set.len) != NULL;
}

static bool is_letter(char c)
{
    char lower = str_lower_char(c);
    return lower >= 'a' && lower <= 'z';
}

// What one character, taken from the front of `*rest`, becomes: a small letter, a space for what
// separates words, '\0' for what is left out; anything else, also '?', is part of no name.
static char spell_character(struct str *rest)
{
    char c = rest->ptr[0];
    size_t len = 1;
    char spelled = '?';
    if (is_letter(c)) {
        spelled = str_lower_char(c);
    } else if (is_among(c, STR(" \t-_,()/"))) {
        spelled = ' ';
    } else if (c == '.' || c == '\'') {
        spelled = '\0';
    } else if (rest->len >= 2 && c == '\xC3') {
        spelled = plain_letter((unsigned char)rest->ptr[1]);
        len = 2;
    } else if (str_starts(*rest, STR("\xC2\xA0"))) { // no-break space
        spelled = ' ';
        len = 2;
    } else if (str_starts(*rest, STR("\xE2\x80\x99"))) { // right single quotation mark
        spelled = '\0';
        len = 3;
    }
    rest->ptr += len;
    rest->len -= len;
    return spelled;
}

struct key {
    char text[KEY_BYTES];
    size_t len;
};

// Adds a word's letter or the space between two words; nothing for '\0'. False for '?' and when it
// gets too long for any name.
static bool key_add(struct key *key, char c)
{
    bool doubled = c == ' ' && (key->len == 0 || key->text[key->len - 1] == ' ');
    if (c == '\0' || doubled) {
        return true;
    }
    if (key->len + 1 >= sizeof key->text || c == '?') {
        return false;
    }
    key->text[key->len++] = c;
    return true;
}

static bool key_add_and(struct key *key)
{
    bool fits = true;
    for (const char *p = " and "; *p != '\0'; p++) {
        fits = key_add(key, *p) && fits;
    }
    return fits;
}

// The form of a name in the tables: plain small letters, single spaces. False when it has
// characters that no name has.
static bool spell(struct str text, struct key *key)
{
    *key = (struct key){.len = 0};
    bool good = true;
    while (good && text.len > 0) {
        if (text.ptr[0] == '&') {
            text = (struct str){text.ptr + 1, text.len - 1};
            good = key_add_and(key);
        } else {
            good = key_add(key, spell_character(&text));
        }
    }
    if (key->len > 0 && key->text[key->len - 1] == ' ') {
        key->text[--key->len] = '\0';
    }
    return good && key->len > 0;
}

static const char *without(const char *key, struct str prefix)
{
    return str_starts(str_of(key), prefix) ? key + prefix.len : key;
}

// The code of exactly `len` letters, in capitals or small; false when the text is none.
static bool read_letters(struct str text, size_t len, bool capitals, char *out)
{
    if (text.len != len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_letter(text.ptr[i])) {
            return false;
        }
        char lower = str_lower_char(text.ptr[i]);
        out[i] = capitals ? (char)(lower - 'a' + 'A') : lower;
    }
    out[len] = '\0';
    return true;
}

// ---- looking up ----

const char *codes_country(struct str text)
{
    struct key key;
    return spell(text, &key)
               ? find_name(without(key.text, STR("the ")), countries, COUNT(countries))
               : NULL;
}

const char *codes_us_state(struct str text)
{
    struct key key;
    if (!spell(text, &key)) {
        return NULL;
    }
    struct str prefix = key.len == STR("us ca").len ? STR("us ") : STR("the ");
    return find_name(without(key.text, prefix), us_states, COUNT(us_states));
}

// Is this what a locale's name may have behind its language: "_US.UTF-8", "-Hant-TW", "@latin"?
static bool is_locale_suffix(struct str text)
{
    bool separator = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool part = is_letter(c) || str_is_digit(c);
        if (i == 0 ? part : separator && !part) {
            return false;
        }
        if (!part && !is_among(c, STR("-_.@"))) {
            return false;
        }
        separator = !part;
    }
    return !separator;
}

const char *codes_language(struct str text)
{
    char code[3];
    if (text.len < 2 || !read_letters((struct str){text.ptr, 2}, 2, false, code) ||
        !is_locale_suffix((struct str){text.ptr + 2, text.len - 2})) {
        return NULL;
    }
    const char *renamed = find_name(code, old_languages, COUNT(old_languages));
    return renamed != NULL
               ? renamed
               : bsearch(code, languages, COUNT(languages), sizeof languages[0], compare_letters);
}

const struct codes_currency *codes_currency(struct str text)
{
    char code[4];
    if (!read_letters(text, 3, true, code)) {
        return NULL;
    }
    return bsearch(code, currencies, COUNT(currencies), sizeof currencies[0], compare_letters);
}
